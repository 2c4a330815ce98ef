"""Composition root: settings -> clients -> sync."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, LinearRetry

from shared.authentication import Authentication, AuthenticationType
from shared.clients.change_feed import ChangeFeedV1, ChangeFeedV2
from shared.clients.change_feed_reader import FeedReader
from shared.clients.error_tables import ErrorTables
from shared.clients.fhir import FhirClient
from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth, token_source
from shared.clients.lease import CONTAINER, BlobLease
from shared.clients.tables import Tables
from shared.clients.tick_table import TickTable
from shared.clients.watermark import TableWatermarkStore
from shared.config import Settings, read_settings
from shared.mapping.converters import MappingOptions
from shared.mapping.resources import MAPPED_KEYS
from shared.model import TickRecord
from shared.sync.batch import BatchOptions
from shared.sync.outages import OutageLog
from shared.sync.ports import Ports
from shared.sync.status import status
from shared.sync.tick import tick

# The SDKs' own retries: few and soon, since a tick comes again; the blob SDK's default waits 15 s and more. Seconds.
_TIMEOUTS: Mapping[str, Any] = {"connection_timeout": 5, "read_timeout": 20}
_BLOBS: Mapping[str, Any] = {**_TIMEOUTS, "retry_policy": LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)}
_TABLES: Mapping[str, Any] = {**_TIMEOUTS, "retry_total": 2}

DICOM_AUDIENCE = "https://dicom.healthcareapis.azure.com"
"""Of every DICOM service of Azure Health Data Services; a FHIR service's audience is its own URL."""


@dataclass(frozen=True, slots=True)
class App:
    """What the triggers call."""

    ports: Ports
    options: BatchOptions
    outages: OutageLog

    def tick(self) -> TickRecord:
        """One batch under the lease."""
        return tick(self.ports, self.options, self.outages)

    def status(self) -> dict[str, Any]:
        """Where the sync stands, as JSON."""
        return status(self.ports)


@cache
def app() -> App:
    """The app of this process. Raises SettingsError."""
    return build(read_settings(os.environ))


def build(settings: Settings) -> App:
    """The app as the settings want it; nothing is called yet."""
    blobs, tables = _storage(settings)
    stored = Tables(tables, settings.table_name_prefix)
    dicom, fhir = _dicom_service(settings), _fhir_server(settings)
    change_feed = ChangeFeedV1 if settings.dicom_api_version == "v1" else ChangeFeedV2
    reader = FeedReader(dicom, MAPPED_KEYS, pass_torn=settings.ignore_json_parsing_errors)
    ports = Ports(
        feed=change_feed(reader, settings.gap_grace_seconds),
        fhir=FhirClient(fhir),
        watermarks=TableWatermarkStore(stored),
        errors=ErrorTables(stored, _utc_now),
        ticks=TickTable(stored),
        lease=BlobLease(
            blobs.get_container_client(CONTAINER), f"{settings.table_name_prefix}sync.lock", settings.lease_seconds
        ),
        now=_utc_now,
        sleep=time.sleep,
    )
    mapping = MappingOptions(
        service_url=settings.dicom_url,
        patient_system=settings.patient_system,
        use_issuer=settings.is_issuer_used,
        default_offset=settings.default_offset,
        enforce_validation=settings.enforce_validation,
        extended=settings.extended_mapping,
        patient_update_policy=settings.patient_update_policy,
    )
    options = BatchOptions(mapping, settings.batch_size, settings.tick_budget_seconds, settings.total_retry_seconds)
    return App(ports, options, OutageLog(_utc_now))


def _dicom_service(settings: Settings) -> HttpService:
    url = settings.dicom_private_url or settings.dicom_url
    return _service(
        "DICOM service", url, "DicomWeb", settings.dicom_authentication, DICOM_AUDIENCE, "DICOM Data Reader"
    )


def _fhir_server(settings: Settings) -> HttpService:
    url, who = settings.fhir_url, settings.fhir_authentication
    return _service("FHIR server", url, "Fhir", who, url, "FHIR Data Contributor")


def _service(
    name: str, url: str, setting: str, authentication: Authentication | None, audience: str, role: str
) -> HttpService:
    if authentication is None:
        return HttpService(name, url, remedy=f"the app sends no token; {setting}__Authentication__Enabled turns it on")
    audience = authentication.resource or audience
    if authentication.kind is not AuthenticationType.MANAGED_IDENTITY:
        audience = authentication.resource or authentication.scope or "not asked for"
    remedy = f"give the app's identity the role {role}; the token's audience was {audience}"
    return HttpService(name, url, BearerAuth(token_source(name, authentication, audience)), remedy)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _storage(settings: Settings) -> tuple[BlobServiceClient, TableServiceClient]:
    if settings.storage_connection:
        return (
            BlobServiceClient.from_connection_string(settings.storage_connection, **_BLOBS),
            TableServiceClient.from_connection_string(settings.storage_connection, **_TABLES),
        )
    assert settings.blob_service_url
    assert settings.table_service_url
    chosen = {"managed_identity_client_id": settings.storage_client_id} if settings.storage_client_id else {}
    credential = DefaultAzureCredential(**chosen)
    return (
        BlobServiceClient(settings.blob_service_url, credential=credential, **_BLOBS),
        TableServiceClient(endpoint=settings.table_service_url, credential=credential, **_TABLES),
    )

"""Connections to the outside systems by the settings: URLs, identities and timeouts."""

from dataclasses import dataclass
from typing import Any

import requests
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient, LinearRetry

from shared.clients.http import HttpService
from shared.clients.identity import BearerAuth, platform_credential, token_source
from shared.process.deadline import Deadline
from shared.process.telemetry import SILENT, Telemetry
from shared.settings.authentication import Authentication, AuthenticationType
from shared.settings.config import Settings
from shared.settings.timeouts import Timeouts
from shared.settings.transport import Transport

DICOM_AUDIENCE = "https://dicom.healthcareapis.azure.com"
"""The audience of all DICOM services of Azure Health Data Services; that of a FHIR service is its own URL."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the app authenticates to one service, with a token that is shared. `remedy`: what to do if it is refused."""

    auth: requests.auth.AuthBase | None
    remedy: str
    transport: Transport


def dicom_access(settings: Settings) -> Access:
    """The access to the DICOM service."""
    authentication, transport = settings.dicom_authentication, settings.dicom_transport
    return _access("DICOM service", authentication, transport, DICOM_AUDIENCE, "DICOM Data Reader")


def fhir_access(settings: Settings) -> Access:
    """The access to the FHIR server."""
    authentication, transport = settings.fhir_authentication, settings.fhir_transport
    return _access("FHIR server", authentication, transport, settings.fhir_url, "FHIR Data Writer")


def _access(name: str, authentication: Authentication | None, transport: Transport, audience: str, role: str) -> Access:
    prefix = f"{transport.service}__Authentication__"
    if authentication is None:
        return Access(None, f"the app sends no token; {prefix}Enabled turns it on", transport)
    if authentication.kind is AuthenticationType.BASIC:
        remedy = f"mend {prefix}BasicCredential__Username and __Password, or give this user the right to read and write"
        return Access(_basic(authentication), remedy, transport)
    audience = authentication.resource or audience
    if authentication.kind is not AuthenticationType.MANAGED_IDENTITY:
        audience = authentication.resource or authentication.scope or "not asked for"
    remedy = f"give the app's identity the role {role}; the token's audience was {audience}"
    return Access(BearerAuth(token_source(name, authentication, audience, transport)), remedy, transport)


def _basic(authentication: Authentication) -> requests.auth.HTTPBasicAuth:
    """HTTP Basic in UTF-8 (RFC 7617, 2.1). A 401 is final, as there is nothing to renew."""
    username, password = authentication.username or "", authentication.password or ""
    return requests.auth.HTTPBasicAuth(username.encode(), password.encode())


def dicom_service(
    settings: Settings, access: Access, timeouts: Timeouts, deadline: Deadline, telemetry: Telemetry = SILENT
) -> HttpService:
    """The DICOM service, by its private URL if there is one."""
    url = settings.dicom_private_url or settings.dicom_url
    return _service("DICOM service", url, access, timeouts, deadline, telemetry, timeouts.most_bytes_of_dicom)


def fhir_server(
    settings: Settings, access: Access, timeouts: Timeouts, deadline: Deadline, telemetry: Telemetry = SILENT
) -> HttpService:
    """The FHIR server."""
    url = settings.fhir_url
    return _service("FHIR server", url, access, timeouts, deadline, telemetry, timeouts.most_bytes_of_fhir)


def _service(
    name: str, url: str, access: Access, timeouts: Timeouts, deadline: Deadline, telemetry: Telemetry, most_bytes: int
) -> HttpService:
    auth, remedy, transport = access.auth, access.remedy, access.transport
    return HttpService(name, url, auth, remedy, timeouts.http, telemetry, transport, deadline, most_bytes)


def storage(settings: Settings, timeouts: Timeouts) -> tuple[BlobServiceClient, TableServiceClient]:
    """The blobs and the tables of the storage account, by connection string or by the app's identity."""
    connect, read = timeouts.storage
    common: dict[str, Any] = {"connection_timeout": connect, "read_timeout": read, "permit_redirects": False}
    # By default the blob SDK waits 15 s and more between two attempts.
    blobs = common | {"retry_policy": LinearRetry(backoff=1, retry_total=timeouts.retries, random_jitter_range=0)}
    tables = common | {"retry_total": timeouts.retries}
    if settings.storage_connection:
        return (
            BlobServiceClient.from_connection_string(settings.storage_connection, **blobs),
            TableServiceClient.from_connection_string(settings.storage_connection, **tables),
        )
    assert settings.blob_service_url
    assert settings.table_service_url
    credential = platform_credential(settings.storage_client_id)
    return (
        BlobServiceClient(settings.blob_service_url, credential=credential, **blobs),
        TableServiceClient(endpoint=settings.table_service_url, credential=credential, **tables),
    )

"""Builds the app: makes the clients from the settings, and gives them to the sync."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from azure.storage.blob import BlobServiceClient

from shared.app import App
from shared.clients.azure import audit_table, difference_table, journal_table, open_rows, replay_table, watermark
from shared.clients.azure.audit_table import AuditTable
from shared.clients.azure.difference_table import DifferenceTable
from shared.clients.azure.error_tables import ErrorTables
from shared.clients.azure.journal_table import JournalTable
from shared.clients.azure.lease import CONTAINER, BlobLease
from shared.clients.azure.replay_table import ReplayTable
from shared.clients.azure.tables import Tables
from shared.clients.azure.watermark import TableWatermarkStore
from shared.clients.connections import Access, dicom_access, dicom_service, fhir_access, fhir_server, storage
from shared.clients.dicom.change_feed import ChangeFeed
from shared.clients.dicom.change_feed_reader import FeedReader
from shared.clients.dicom.dicomweb import DicomWeb
from shared.clients.dicom.study_list import StudyList
from shared.clients.fhir.capabilities import LearnedCapabilities
from shared.clients.fhir.client import FhirClient
from shared.clients.http import HttpService
from shared.errors import SettingsError
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import AuditOptions
from shared.model.failures import ErrorTable
from shared.process.deadline import Deadline, ThreadDeadline
from shared.process.garbage_collector import freeze_startup_objects
from shared.process.log_lines import quiet_libraries
from shared.process.telemetry import SILENT, Telemetry
from shared.settings.config import Settings, read_settings, shown_settings
from shared.settings.timeouts import CHECK, STATUS, STUDY_PAGE, TICK, Timeouts
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.batch import BatchOptions
from shared.sync.handover import Handover
from shared.sync.ports import Ports
from shared.sync.queue.concurrency import ConcurrencyLimit
from shared.sync.status.outages import OutageLog

if TYPE_CHECKING:
    from shared.clients.self_check import SelfCheck
    from shared.sync.status.check import Check, Question
    from shared.sync.status.study_page import StudyPage

TABLES = (
    watermark.TABLE,
    journal_table.TABLE,
    replay_table.TABLE,
    audit_table.TABLE,
    difference_table.TABLE,
    open_rows.TABLE,
    *ErrorTable,
)


@cache
def app() -> App:
    """The app of this process. Raises SettingsError."""
    quiet_libraries()
    made = build(read_settings(os.environ), shown_settings(os.environ))
    freeze_startup_objects()
    return made


def check(number: int | None = None) -> "Check":
    """The self-check, or one step of it by its number. If the settings are at fault, they are its only step.

    Raises RequestError if there is no such step.
    """
    from shared.sync.status.check import Check, Step, StepState  # noqa: PLC0415 an operator asks for it

    try:
        return app().check(number)
    except SettingsError as error:
        action = "mend these settings of the app; docs/configuration.md lists them"
        return Check([Step("settings", StepState.FAILED, 0.0, str(error), action)])


def build(settings: Settings, shown: Mapping[str, str] | None = None) -> App:
    """The app for these settings. It sends no request yet. `shown`: the settings as an operator may see them."""
    mapping = _mapping_options(settings)
    dicom, fhir, learned = dicom_access(settings), fhir_access(settings), LearnedCapabilities()
    return App(
        ports=_ports(settings, dicom, fhir, TICK, Deadline(), _telemetry(settings), learned),
        watch=_ports(settings, dicom, fhir, STATUS, ThreadDeadline(), SILENT, learned),
        options=_batch_options(settings, mapping),
        outages=OutageLog(_utc_now),
        settings=shown or {},
        health_max_age=timedelta(seconds=settings.health_max_age_seconds),
        questions=lambda: _questions(settings, mapping, learned),
        study_page=_study_page(settings, mapping, dicom, fhir, learned) if settings.is_study_page_on else None,
    )


def _mapping_options(settings: Settings) -> MappingOptions:
    return MappingOptions(
        service_url=settings.dicom_url,
        patient_system=settings.patient_system,
        use_issuer=settings.is_issuer_used,
        issuer_systems=settings.issuer_systems,
        identifier_type=settings.identifier_type,
        other_patient_ids=settings.other_patient_ids,
        default_offset=settings.default_offset,
        enforce_validation=settings.enforce_validation,
        extended=settings.extended_mapping,
        snomed_body_site=settings.snomed_body_site,
        study_uid_in_partitions=settings.study_uid_in_partitions,
        series_endpoint=settings.series_endpoint,
        endpoint_payload=settings.endpoint_payload,
        endpoint_contact=settings.endpoint_contact,
        viewer_url=settings.viewer_url,
        patient_update_policy=settings.patient_update_policy,
        generate_observations=settings.generate_observations,
        dose_text=settings.dose_text,
        absent_performer=settings.absent_performer,
        max_instances=settings.max_instances,
        coding_schemes=settings.coding_schemes,
        accession_system=settings.accession_system,
        accession_issuers=settings.accession_issuers,
        order_link=settings.order_link,
    )


def _batch_options(settings: Settings, mapping: MappingOptions) -> BatchOptions:
    return BatchOptions(
        mapping,
        size=settings.batch_size,
        tick_budget_seconds=settings.tick_budget_seconds,
        total_retry_seconds=settings.total_retry_seconds,
        max_slices=settings.max_slices,
        quiet_seconds=min(60, settings.health_max_age_seconds / 3),
        settle_seconds=settings.settle_seconds,
        order_look_back_days=settings.order_look_back_days,
        audit=AuditOptions(
            settings.audit_mode,
            settings.audit_max_deletes,
            settings.audit_delete_after_seconds,
            settings.audit_requests_per_hour,
        ),
        standstill_seconds=max(settings.health_max_age_seconds, 2 * settings.gap_grace_seconds),
    )


def _study_page(
    settings: Settings, mapping: MappingOptions, dicom: Access, fhir: Access, learned: LearnedCapabilities
) -> "Callable[[], StudyPage]":
    @cache
    def study_page() -> "StudyPage":
        from shared.sync.status.study_page import StudyPage  # noqa: PLC0415 a tick shows no study

        ports = _ports(settings, dicom, fhir, STUDY_PAGE, ThreadDeadline(), SILENT, learned)
        return StudyPage(ports, mapping, settings.fhir_url)

    return study_page


def _telemetry(settings: Settings) -> Telemetry:
    if not settings.is_telemetry_on:
        return SILENT
    from shared.clients.open_telemetry import open_telemetry  # noqa: PLC0415 most apps start without it

    return open_telemetry()


def _ports(
    settings: Settings,
    dicom: Access,
    fhir: Access,
    timeouts: Timeouts,
    deadline: Deadline,
    telemetry: Telemetry,
    learned: LearnedCapabilities,
) -> Ports:
    blobs, tables = storage(settings, timeouts)
    stored = Tables(tables, settings.table_name_prefix, TABLES)
    service = dicom_service(settings, dicom, timeouts, deadline, telemetry)
    server = _fhir(settings, fhir_server(settings, fhir, timeouts, deadline, telemetry), learned)
    return Ports(
        feed=_change_feed(settings, service),
        archive=DicomWeb(service, settings.dicom_api_version, lambda: _keys(settings)),
        fhir=server,
        watermarks=TableWatermarkStore(stored),
        errors=ErrorTables(stored, _utc_now),
        journal=JournalTable(stored),
        replays=ReplayTable(stored, _utc_now),
        lease=_lease(settings, blobs, "sync.lock"),
        telemetry=telemetry,
        now=_utc_now,
        sleep=time.sleep,
        concurrency=ConcurrencyLimit(settings.max_concurrency),
        handover=Handover(settings.search_delay_seconds),
        deadline=deadline,
        audit=AuditPorts(
            StudyList(service, settings.dicom_api_version),
            AuditTable(stored, _utc_now),
            DifferenceTable(stored),
            lambda: service.calls + server.calls,
        ),
    )


def _questions(settings: Settings, mapping: MappingOptions, learned: LearnedCapabilities) -> "list[Question]":
    from shared.sync.status.check import Question  # noqa: PLC0415

    return [Question(*one) for one in _self_check(settings, mapping, learned).questions()]


def _self_check(settings: Settings, mapping: MappingOptions, learned: LearnedCapabilities) -> "SelfCheck":
    from shared.clients.fhir.self_check import EndpointSearch, FhirSelfCheck  # noqa: PLC0415 a tick does not need it
    from shared.clients.self_check import SelfCheck  # noqa: PLC0415
    from shared.mapping.resources import map_endpoint  # noqa: PLC0415
    from shared.mapping.transaction import endpoint_query  # noqa: PLC0415

    blobs, tables = storage(settings, CHECK)
    deadline = ThreadDeadline()
    endpoint = map_endpoint(mapping).create
    connection = endpoint["connectionType"]
    fhir = FhirSelfCheck(
        _fhir(settings, fhir_server(settings, fhir_access(settings), CHECK, deadline), learned),
        EndpointSearch(endpoint["name"], endpoint_query(endpoint["name"], connection["system"], connection["code"])),
        links_orders=mapping.links_orders,
        identity=", ".join(_identity(settings)),
    )
    return SelfCheck(
        Tables(tables, settings.table_name_prefix, TABLES),
        _lease(settings, blobs, "check.lock"),
        _change_feed(settings, dicom_service(settings, dicom_access(settings), CHECK, deadline)),
        fhir,
        deadline,
    )


def _identity(settings: Settings) -> list[str]:
    """The names of the settings that are given and provide the system of a PatientID."""
    given = {
        "Patient__PatientSystemId": bool(settings.patient_system) and not settings.is_issuer_used,
        "Patient__IsIssuerIdUsed": settings.is_issuer_used,
        "Patient__IssuerSystems": settings.issuer_systems is not None,
    }
    return [name for name, is_given in given.items() if is_given]


def _change_feed(settings: Settings, dicom: HttpService) -> ChangeFeed:
    reader = FeedReader(dicom, lambda: _keys(settings), pass_torn=settings.ignore_json_parsing_errors)
    return ChangeFeed(reader, settings.gap_grace_seconds)


def _fhir(settings: Settings, server: HttpService, learned: LearnedCapabilities) -> FhirClient:
    return FhirClient(server, learned, settings.bundle_processing)


def _keys(settings: Settings) -> frozenset[str]:
    """Keys of the tags to read from an instance's metadata (DICOM JSON)."""
    from shared.mapping.dose.mapped_report import REPORT_KEYS  # noqa: PLC0415 a tick without entries maps nothing
    from shared.mapping.resources import MAPPED_KEYS  # noqa: PLC0415

    return MAPPED_KEYS | REPORT_KEYS if settings.generate_observations else MAPPED_KEYS


def _lease(settings: Settings, blobs: BlobServiceClient, name: str) -> BlobLease:
    container = blobs.get_container_client(CONTAINER)
    return BlobLease(container, settings.table_name_prefix + name, settings.lease_seconds)


def _utc_now() -> datetime:
    return datetime.now(UTC)

"""The app's settings. They are read once at the start; one message names all their faults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any

from shared.errors import SettingsError
from shared.model.audit import AuditMode
from shared.model.options import BundleProcessing, EndpointPayload, OrderLink, PatientUpdatePolicy
from shared.settings.authentication import Authentication, read_authentication, shown_authentication
from shared.settings.readers import (
    account_name,
    audit_mode,
    boolean,
    bundle_processing,
    contact,
    duration,
    endpoint_payload,
    identifier_type,
    is_plain_http,
    lease_duration,
    offset,
    optional,
    order_link,
    policy,
    prefix,
    storage_urls,
    systems,
    text,
    uri,
    url,
    version,
    viewer_url,
    whole,
    worker_switch,
)
from shared.settings.setting import Setting, read_rows
from shared.settings.transport import Transport, read_transport, shown_transport


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the environment. URLs have no slash at their end; durations are in seconds."""

    storage_connection: str | None = field(repr=False)
    blob_service_url: str | None
    table_service_url: str | None
    storage_client_id: str | None
    table_name_prefix: str
    dicom_url: str
    dicom_private_url: str | None
    dicom_api_version: str
    dicom_authentication: Authentication | None
    dicom_transport: Transport
    fhir_url: str
    fhir_authentication: Authentication | None
    fhir_transport: Transport
    bundle_processing: BundleProcessing
    allow_plain_http: bool
    batch_size: int
    max_slices: int
    max_concurrency: int
    gap_grace_seconds: float
    settle_seconds: int
    search_delay_seconds: float
    lease_seconds: int
    tick_budget_seconds: float
    health_max_age_seconds: float
    total_retry_seconds: float
    default_offset: timezone
    enforce_validation: bool
    extended_mapping: bool
    snomed_body_site: bool
    study_uid_in_partitions: bool
    series_endpoint: bool
    endpoint_payload: EndpointPayload
    endpoint_contact: str
    viewer_url: str
    generate_observations: bool
    dose_text: bool
    absent_performer: bool
    max_instances: int
    is_study_page_on: bool
    ignore_json_parsing_errors: bool
    coding_schemes: Mapping[str, str]
    accession_system: str
    accession_issuers: Mapping[str, str]
    order_link: OrderLink
    order_look_back_days: int
    audit_mode: AuditMode
    audit_max_deletes: int
    audit_delete_after_seconds: float
    audit_requests_per_hour: int
    patient_system: str
    is_issuer_used: bool
    issuer_systems: Mapping[str, str] | None
    identifier_type: str
    other_patient_ids: bool
    patient_update_policy: PatientUpdatePolicy
    is_telemetry_on: bool


# ruff: noqa: E501  one row per line, as in docs/configuration.md
# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("DicomWeb__Endpoint",                                "dicom_url",                  url,                    None,        "URL of the DICOM service; it becomes `Endpoint.address` and `ImagingStudy.meta.source`"),
    Setting("DicomWeb__PrivateEndpoint",                         "dicom_private_url",          optional(url),          "",          "URL to reach the DICOM service by, if it is not the public one"),
    Setting("DicomWeb__ApiVersion",                              "dicom_api_version",          version,                "v1",        "version of the DICOM service's API for reading studies; the change feed is always followed by sequence number, which only v1 has"),
    Setting("Fhir__Endpoint",                                    "fhir_url",                   url,                    None,        "URL of the FHIR R4 server"),
    Setting("AzureWebJobsStorage",                               "storage_connection",         optional(text),         "",          "connection string of the storage account; `UseDevelopmentStorage=true` for Azurite", secret=True),
    Setting("AzureWebJobsStorage__blobServiceUri",               "blob_service_url",           optional(url),          "",          "instead of a connection string, with the app's identity: URL of the blob service (the lease)"),
    Setting("AzureWebJobsStorage__tableServiceUri",              "table_service_url",          optional(url),          "",          "likewise: URL of the table service (watermark, error tables)"),
    Setting("AzureWebJobsStorage__accountName",                  "storage_account_name",       optional(account_name), "",          "instead of the two URLs, in Azure's public cloud: the name of the storage account"),
    Setting("AzureWebJobsStorage__clientId",                     "storage_client_id",          optional(text),         "",          "client id of a user-assigned identity for the storage account; empty: the system-assigned identity"),
    Setting("TableStore__TableNamePrefix",                       "table_name_prefix",          prefix,                 "",          "prefix of all tables and of the lease, so that several deployments can share a storage account"),
    Setting("DicomCast__AllowPlainHttp",                         "allow_plain_http",           boolean,                "false",     "`true`: `http://` is allowed, and not only to this machine itself"),
    Setting("DicomCast__BatchSize",                              "batch_size",                 whole(1, 20000),        "5000",      "how many entries of the change feed are synced and recorded together (a slice)"),
    Setting("DicomCast__MaxBatchesPerTick",                      "max_slices",                 whole(0, 1000),         "0",         "slices of `DicomCast__BatchSize` entries in one tick; 0: as many as there are, until the time budget ends"),
    Setting("DicomCast__MaxConcurrency",                         "max_concurrency",            whole(1, 64),           "32",        "how many studies, or groups of small ones, are synced at the same time at most; the app begins with 8, takes more if that is faster, and fewer for a while after a 429"),
    Setting("DicomCast__GapGracePeriod",                         "gap_grace_seconds",          duration,               "00:00:30",  "how old the entry after a missing sequence number must be before the app goes on without the missing one"),
    Setting("DicomCast__StudySettle",                            "settle_seconds",             whole(0, 600),          "10",        "seconds; a study that keeps growing is written to FHIR again only after so long; 0: in each tick that reads more of it"),
    Setting("Fhir__SearchDelay",                                 "search_delay_seconds",       duration,               "00:00:00",  "how long the FHIR server's searches may lag behind its writes; a host that starts, or takes over, waits for so long first"),
    Setting("Fhir__BundleProcessing",                            "bundle_processing",          bundle_processing,      "server",    "`parallel` or `sequential`: the `x-bundle-processing-logic` that Azure's FHIR service is asked for, of transactions and batches; `server`: its default; docs/servers.md"),
    Setting("DicomCast__LeaseDuration",                          "lease_seconds",              lease_duration,         "00:00:30",  "how long after a host has died no other host can work"),
    Setting("DicomCast__TickTimeBudget",                         "tick_budget_seconds",        duration,               "00:04:00",  "how long a tick begins new work; must be well below `functionTimeout` in host.json"),
    Setting("DicomCast__HealthMaxAge",                           "health_max_age_seconds",     duration,               "00:05:00",  "`/api/health` answers 503 if for so long no tick has ended well, or entries have waited and none was written; must be above the time budget"),
    Setting("RetryConfiguration__TotalRetryDuration",            "total_retry_seconds",        duration,               "00:10:00",  "how long a study with a transient fault is tried before it is recorded as failed; outages do not count"),
    Setting("DicomCast__DefaultUtcOffset",                       "default_offset",             offset,                 "+00:00",    "offset of dates and times if TimezoneOffsetFromUTC (0008,0201) is absent"),
    Setting("DicomCast__Features__EnforceValidationOfTagValues", "enforce_validation",         boolean,                "false",     "`true`: an entry with any invalid mapped tag is not synced"),
    Setting("DicomCast__Features__IgnoreJsonParsingErrors",      "ignore_json_parsing_errors", boolean,                "false",     "`true`: an entry of the change feed that cannot be read gets a row in `DicomFailToStoreExceptionTable`, and the sync goes on; `false`: it stops the sync"),
    Setting("DicomCast__Features__ExtendedMapping",              "extended_mapping",           boolean,                "true",      "`false`: only the rows of DICOM Cast's specification are mapped"),
    Setting("DicomCast__Features__SnomedBodySite",               "snomed_body_site",           boolean,                "true",      "`false`: `series.bodySite` has no SNOMED CT code, for countries without a licence"),
    Setting("DicomCast__Features__StudyUidInPartitions",         "study_uid_in_partitions",    boolean,                "true",      "`false`: a study of a data partition does not get the `urn:dicom:uid` identifier, which profiles demand, besides its own; docs/mapping.md, Data partitions"),
    Setting("DicomCast__Features__SeriesEndpoint",               "series_endpoint",            boolean,                "false",     "`true`: each series refers to the Endpoint of the DICOM service, as IHE MADO demands; `false`: only in studies that refer to other Endpoints too"),
    Setting("DicomCast__Features__GenerateObservations",         "generate_observations",      boolean,                "false",     "`true`: a radiation dose report becomes Observations: a summary, and one for each irradiation event"),
    Setting("DicomCast__Features__DoseText",                     "dose_text",                  boolean,                "false",     "`true`: the summary of a dose report also has its doses as one text (`valueString`), which some profiles demand; docs/profiles.md"),
    Setting("DicomCast__Features__AbsentPerformer",              "absent_performer",           boolean,                "false",     "`true`: if a dose report names no observer, its Observations say that the performer is not known, because IPS demands a performer; docs/profiles.md"),
    Setting("DicomCast__Features__StudyPage",                    "is_study_page_on",           boolean,                "true",      "`false`: there is no page and no API of a single study; they are the only part of the app that shows patient data, and need a function key"),
    Setting("DicomCast__MaxInstancesPerStudy",                   "max_instances",              whole(0, 10**9),        "0",         "an ImagingStudy with more instances than this has only their counts, not their list; 0: no limit"),
    Setting("DicomCast__EndpointPayload",                        "endpoint_payload",           endpoint_payload,       "text",      "payload type of the Endpoint that the app creates: `text` alone, or with a code: `none` as IHE MADO demands, `study` as IHE IMR demands; an existing Endpoint is not changed"),
    Setting("DicomCast__EndpointContact",                        "endpoint_contact",           contact,                "",          "contact of the Endpoint that the app creates: `mailto:`, `tel:` or the URL of a page; empty: none"),
    Setting("DicomCast__ViewerUrl",                              "viewer_url",                 viewer_url,             "",          "URL of a viewer, `https://viewer/?study={StudyInstanceUID}`: each study contains an Endpoint for it, except in data partitions"),
    Setting("DicomCast__CodingSchemes",                          "coding_schemes",             systems,                "{}",        'JSON: the code system for the designator of each coding scheme of the site\'s own, `{"99HOSPITAL": "https://hospital.example/codes"}`; what an instance itself says of its schemes has precedence'),
    Setting("DicomCast__AccessionSystem",                        "accession_system",           uri,                    "",          "URI: the system of accession numbers whose issuer the instance does not name; empty: none"),
    Setting("DicomCast__AccessionIssuers",                       "accession_issuers",          systems,                "{}",        'JSON: the system of accession numbers for the LocalNamespaceEntityID of each issuer, `{"HOSPITAL": "urn:oid:1.2.3"}`'),
    Setting("DicomCast__OrderLink",                              "order_link",                 order_link,             "link",      "`link`: ImagingStudy.basedOn refers to the ServiceRequest with the accession number; `link-or-identifier`: if FHIR has none, basedOn has the number itself; `off`; docs/mapping.md, Orders"),
    Setting("DicomCast__OrderLookBack",                          "order_look_back_days",       whole(0, 3650),         "7",         "days; each hour the app looks for orders that came after their studies, and after a start for those of so many days; 0: never"),
    Setting("DicomCast__Audit",                                  "audit_mode",                 audit_mode,             "report",    "whether FHIR is compared with the DICOM service once a day: `report`: differences are reported; `heal`: their studies are rebuilt too; `off`: only when a person asks for it; docs/runbook.md, 'The audit'"),
    Setting("DicomCast__AuditMaxDeletes",                        "audit_max_deletes",          whole(0, 10**6),        "10",        "how many studies one round of the audit may delete from FHIR before a person must confirm; never more than 1 % of those that it compared"),
    Setting("DicomCast__AuditDeleteAfter",                       "audit_delete_after_seconds", duration,               "20:00:00",  "how long, and in two rounds, the DICOM service must have answered 404 for a study before the audit deletes it from FHIR"),
    Setting("DicomCast__AuditRequestsPerHour",                   "audit_requests_per_hour",    whole(1, 10**7),        "2000",      "how many requests the audit makes on average, to the DICOM service and the FHIR server together"),
    Setting("Patient__PatientSystemId",                          "patient_system",             text,                   "",          "system of `Patient.identifier`"),
    Setting("Patient__IsIssuerIdUsed",                           "is_issuer_used",             boolean,                "false",     "`true`: the system is IssuerOfPatientID instead; docs/mapping.md, Identity"),
    Setting("Patient__IssuerSystems",                            "issuer_systems",             optional(systems),      "",          'JSON: the system of a PatientID for each IssuerOfPatientID, `{"HOSPITAL": "urn:oid:1.2.3"}`; if it is set, even to `{}`, IssuerOfPatientIDQualifiersSequence is read too; docs/mapping.md, Identity'),
    Setting("Patient__IdentifierType",                           "identifier_type",            identifier_type,        "",          "`type` of the identifier of a Patient that the app creates, a code of HL7's table 0203 such as `MR`; empty: none"),
    Setting("Patient__OtherPatientIds",                          "other_patient_ids",          boolean,                "false",     "`true`: a Patient also gets the identifiers of OtherPatientIDsSequence whose system is known; no Patient is ever found by one of them"),
    Setting("Patient__UpdatePolicy",                             "patient_update_policy",      policy,                 "overwrite", "what may change on an existing Patient: `overwrite` (name and gender follow DICOM), `fill` (only what FHIR lacks), `never` (nothing)"),
    Setting("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",       "is_telemetry_on",            worker_switch,          "false",     "`true`: metrics, traces and log lines go to Application Insights by OpenTelemetry; the language worker reads this setting too"),
)
# fmt: on
"""`SyncSchedule` is read by the Functions host itself."""
SERVICES = {"DicomWeb": "dicom", "Fhir": "fhir"}
"""The prefix of a service's settings, and of its fields."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError naming every fault. Names are matched in any letter case, as the Functions host does."""
    given = _given(environment)
    values, faults = read_rows(SETTINGS, given)
    for service, name in SERVICES.items():
        values[f"{name}_authentication"], more = read_authentication(service, given)
        values[f"{name}_transport"], yet_more = read_transport(service, given)
        faults += more + yet_more
    _name_storage(values)
    faults = faults or [*_storage_faults(values), *_plain_http_faults(values)]
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def shown_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in force by name, without secrets."""
    given = _given(environment)
    shown = {row.name: row.shown(given) for row in SETTINGS}
    for service in SERVICES:
        shown |= shown_authentication(service, given) | shown_transport(service, given)
    return shown


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value.strip() for name, value in environment.items()}


def _name_storage(values: dict[str, Any]) -> None:
    """Fills in the URLs of an account of which only the name is given, as the Functions host does."""
    if name := values.pop("storage_account_name", None):
        values["blob_service_url"] = values.get("blob_service_url") or f"https://{name}.blob.core.windows.net"
        values["table_service_url"] = values.get("table_service_url") or f"https://{name}.table.core.windows.net"


def _storage_faults(values: Mapping[str, Any]) -> list[str]:
    if values["storage_connection"] or (values["blob_service_url"] and values["table_service_url"]):
        return []
    either = (
        "a connection string, or AzureWebJobsStorage__blobServiceUri and AzureWebJobsStorage__tableServiceUri, "
        "or AzureWebJobsStorage__accountName"
    )
    return [f"AzureWebJobsStorage is missing: {either}"]


def _plain_http_faults(values: Mapping[str, Any]) -> list[str]:
    """Faults of the URLs that are called. The public DICOM URL is not, if there is a private one."""
    if values["allow_plain_http"]:
        return []
    private = values["dicom_private_url"]
    dicom = "DicomWeb__PrivateEndpoint" if private else "DicomWeb__Endpoint"
    called = {"dicom": {dicom: private or values["dicom_url"]}, "fhir": {"Fhir__Endpoint": values["fhir_url"]}}
    for service, name in SERVICES.items():
        if authentication := values[f"{name}_authentication"]:
            called[name][f"{service}__Authentication__{authentication.kind}__TokenUri"] = authentication.token_uri
    plain = [
        setting
        for name, urls in called.items()
        for setting, url in urls.items()
        if url and is_plain_http(url, values[f"{name}_transport"].proxy)
    ]
    storage = {
        "AzureWebJobsStorage__blobServiceUri": values["blob_service_url"],
        "AzureWebJobsStorage__tableServiceUri": values["table_service_url"],
    }
    plain += [setting for setting, url in storage.items() if url and is_plain_http(url)]
    if any(map(is_plain_http, storage_urls(values["storage_connection"] or ""))):
        plain.append("AzureWebJobsStorage")
    fault = (
        "https:// is expected; DicomCast__AllowPlainHttp = true sends patient data, tokens and passwords unencrypted"
    )
    return [f"{setting}: {fault}" for setting in plain]

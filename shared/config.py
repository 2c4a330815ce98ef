"""The app's settings: read once, frozen, units in their names; every fault of them in one message."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from shared.errors import SettingsError
from shared.model import PatientUpdatePolicy


@dataclass(frozen=True, slots=True)
class Settings:
    """What the app is told by its environment. URLs have no slash at their end; durations are seconds."""

    storage_connection: str | None
    blob_service_url: str | None
    table_service_url: str | None
    table_name_prefix: str
    dicom_url: str
    dicom_private_url: str | None
    dicom_api_version: str
    fhir_url: str
    batch_size: int
    gap_grace_seconds: float
    lease_seconds: int
    tick_budget_seconds: float
    total_retry_seconds: float
    default_offset: timezone
    enforce_validation: bool
    extended_mapping: bool
    patient_system: str
    is_issuer_used: bool
    patient_update_policy: PatientUpdatePolicy


class _FaultError(ValueError):
    """What is wrong with one value; the message is put behind the setting's name."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the README's table. `default` is text as it would stand in the environment, None: required."""

    name: str
    field: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str


def _text(value: str) -> str:
    return value


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: parse(value) if value else None


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _FaultError("a URL that starts with https:// (or http://) is expected")
    if parts.query or parts.fragment:
        raise _FaultError("a URL without `?` and `#` is expected")
    return value.rstrip("/")


def _bool(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise _FaultError("true or false is expected")
    return value.lower() == "true"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise _FaultError(f"a whole number from {low} to {high} is expected")
        return int(value)

    return parse


def _duration(value: str) -> float:
    match = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d)", value)
    if not match:
        raise _FaultError("a duration hh:mm:ss is expected")
    hours, minutes, seconds = map(int, match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def _lease_duration(value: str) -> int:
    seconds = int(_duration(value))
    if not 15 <= seconds <= 60:  # noqa: PLR2004 what blob leases allow
        raise _FaultError("00:00:15 to 00:01:00 is expected: what blob leases allow")
    return seconds


def _offset(value: str) -> timezone:
    match = re.fullmatch(r"([+-])([01]\d):([0-5]\d)", value)
    if not match:
        raise _FaultError("an offset +hh:mm or -hh:mm is expected")
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14):
        raise _FaultError("an offset of at most 14 hours is expected")
    return timezone(-offset if sign == "-" else offset)


def _version(value: str) -> str:
    if value not in ("v1", "v2"):
        raise _FaultError("v1 or v2 is expected")
    return value


def _policy(value: str) -> PatientUpdatePolicy:
    try:
        return PatientUpdatePolicy(value.lower())
    except ValueError:
        raise _FaultError(f"one of {', '.join(PatientUpdatePolicy)} is expected") from None


def _prefix(value: str) -> str:
    # With the longest table name behind it, 63 characters are allowed (Understanding the Table service data model).
    if not re.fullmatch(r"([A-Za-z][A-Za-z0-9]{0,30})?", value):
        raise _FaultError("at most 31 letters and digits, a letter first, are expected")
    return value


# ruff: noqa: E501  one row per line, as in the README
# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("DicomWeb__Endpoint",                                     "dicom_url",            _url,            None,       "URL of the DICOM service; it becomes `Endpoint.address` and `ImagingStudy.meta.source`"),
    Setting("DicomWeb__PrivateEndpoint",                              "dicom_private_url",    _optional(_url), "",         "URL to reach the DICOM service by, where it is another"),
    Setting("DicomWeb__ApiVersion",                                   "dicom_api_version",    _version,        "v1",       "`v1` follows the change feed by sequence, `v2` by time (entries wait for the grace period)"),
    Setting("Fhir__Endpoint",                                         "fhir_url",             _url,            None,       "URL of the FHIR R4 server"),
    Setting("AzureWebJobsStorage",                                    "storage_connection",   _optional(_text), "",        "connection string of the storage account; `UseDevelopmentStorage=true` for Azurite"),
    Setting("AzureWebJobsStorage__blobServiceUri",                    "blob_service_url",     _optional(_url), "",         "instead of a connection string, with the app's identity: blobs (the lease)"),
    Setting("AzureWebJobsStorage__tableServiceUri",                   "table_service_url",    _optional(_url), "",         "likewise: tables (watermark, errors)"),
    Setting("TableStore__TableNamePrefix",                            "table_name_prefix",    _prefix,         "",         "prefix of all tables and of the lease, so that deployments can share an account"),
    Setting("DicomCast__BatchSize",                                   "batch_size",           _whole(1, 20000), "2000",    "entries of the change feed in one tick"),
    Setting("DicomCast__GapGracePeriod",                              "gap_grace_seconds",    _duration,       "00:00:30", "how old the entry after a missing sequence number must be before the gap is passed"),
    Setting("DicomCast__LeaseDuration",                               "lease_seconds",        _lease_duration, "00:00:30", "how long a host that died keeps others out"),
    Setting("DicomCast__TickTimeBudget",                              "tick_budget_seconds",  _duration,       "00:04:00", "after it a tick begins nothing new; well below `functionTimeout` in host.json"),
    Setting("RetryConfiguration__TotalRetryDuration",                 "total_retry_seconds",  _duration,       "00:10:00", "how long a study with a transient fault is tried before it is recorded as failed; outages do not count"),
    Setting("DicomCast__DefaultUtcOffset",                            "default_offset",       _offset,         "+00:00",   "offset of dates and times where (0008,0201) is absent"),
    Setting("DicomCast__Features__EnforceValidationOfTagValues",      "enforce_validation",   _bool,           "false",    "`true`: an entry with any invalid mapped tag is not synced"),
    Setting("DicomCast__Features__ExtendedMapping",                   "extended_mapping",     _bool,           "true",     "`false`: only the rows of DICOM Cast's specification are mapped"),
    Setting("Patient__PatientSystemId",                               "patient_system",       _text,           "",         "system of `Patient.identifier`"),
    Setting("Patient__IsIssuerIdUsed",                                "is_issuer_used",       _bool,           "false",    "`true`: the system is IssuerOfPatientID instead"),
    Setting("Patient__UpdatePolicy",                                  "patient_update_policy", _policy,        "overwrite", "what may change on a Patient that FHIR holds: `overwrite` (name and gender follow DICOM), `fill` (only what FHIR lacks), `never` (only link)"),
)
# fmt: on
"""`SyncSchedule` is read by the Functions host itself."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError naming every fault. Names are matched in any letter case, as the Functions host does."""
    given = {name.lower(): value.strip() for name, value in environment.items()}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in SETTINGS:
        text = given.get(setting.name.lower(), "") or setting.default
        if text is None:
            faults.append(f"{setting.name} is missing: {setting.meaning}")
            continue
        try:
            values[setting.field] = setting.parse(text)
        except _FaultError as fault:
            faults.append(f"{setting.name}: {fault}")
    if not faults:
        faults = _storage_faults(values)
    if faults:
        raise SettingsError(faults)
    return Settings(**values)


def _storage_faults(values: Mapping[str, Any]) -> list[str]:
    if values["storage_connection"] or (values["blob_service_url"] and values["table_service_url"]):
        return []
    either = "a connection string, or AzureWebJobsStorage__blobServiceUri and AzureWebJobsStorage__tableServiceUri"
    return [f"AzureWebJobsStorage is missing: {either}"]

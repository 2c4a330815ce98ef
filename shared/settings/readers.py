"""The readers of the settings' texts. Each returns the value, or raises FaultError."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta, timezone
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from shared.mapping.identifier_system import is_absolute_uri
from shared.model.audit import AuditMode
from shared.model.options import (
    UID_IN_TEMPLATE,
    BundleProcessing,
    EndpointPayload,
    OrderLink,
    PatientUpdatePolicy,
)

Choice = TypeVar("Choice", bound=StrEnum)


class FaultError(ValueError):
    """The message says what is wrong with a value; the name of the setting is put before it."""


def text(value: str) -> str:
    return value


def optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: parse(value) if value else None


def url(value: str) -> str:
    token_url(value)
    if "?" in value or "#" in value:
        raise FaultError("a URL without `?` and `#` is expected")
    return value.rstrip("/")


def token_url(value: str) -> str:
    """The URL to the letter: a query (`?p=policy`) and a slash at the end may be part of a token endpoint's address."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise FaultError("a URL that starts with https:// (or http://) is expected")
    if "@" in parts.netloc:
        raise FaultError("a URL without a user or password in it is expected: the Authentication settings hold these")
    return value


def without_query(value: str) -> str:
    """The URL as it may be shown: what follows `?` or `#` could be a key."""
    start = re.split("[?#]", value, maxsplit=1)[0]
    return start if start == value else f"{start}?***"


def is_plain_http(value: str, proxy: str | None = None) -> bool:
    """Whether others can read what is sent to this URL: it has no TLS, and its host is not this machine's loopback."""
    hosts = (urlsplit(one).hostname or "" for one in (value, proxy) if one)
    return urlsplit(value).scheme == "http" and not all(map(_is_loopback, hosts))


def storage_urls(connection: str) -> list[str]:
    """The URLs in a storage account's connection string, or those that the SDKs would make of the account's name.

    Its names may be in any letter case, as for the SDKs. `UseDevelopmentStorage` means Azurite on this machine.
    """
    parts = (part.partition("=") for part in connection.split(";"))
    given = {name.strip().lower(): value.strip() for name, _, value in parts}
    urls = [value for name, value in given.items() if name.endswith("endpoint") or name == "developmentstorageproxyuri"]
    is_made = not {"blobendpoint", "tableendpoint"} <= set(given)
    if is_made and given.get("defaultendpointsprotocol", "").lower() == "http":
        urls.append(f"http://{given.get('accountname')}.{given.get('endpointsuffix') or 'core.windows.net'}")
    return [url for url in urls if _is_parsable(url)]


def _is_parsable(value: str) -> bool:
    """Whether the SDKs could use it."""
    try:
        urlsplit(value)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise FaultError("true or false is expected")
    return value.lower() == "true"


def worker_switch(value: str) -> bool:
    """True or false, as the Python language worker reads its own switches: any other text is no fault, and false."""
    return value.lower() in ("true", "t", "yes", "y", "1")


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise FaultError(f"a whole number from {low} to {high} is expected")
        return int(value)

    return parse


def duration(value: str) -> float:
    match = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d)", value)
    if not match:
        raise FaultError("a duration hh:mm:ss is expected")
    hours, minutes, seconds = map(int, match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()


def lease_duration(value: str) -> int:
    seconds = int(duration(value))
    if not 15 <= seconds <= 60:  # noqa: PLR2004 what blob leases allow
        raise FaultError("00:00:15 to 00:01:00 is expected: what blob leases allow")
    return seconds


def offset(value: str) -> timezone:
    match = re.fullmatch(r"([+-])([01]\d):([0-5]\d)", value)
    if not match:
        raise FaultError("an offset +hh:mm or -hh:mm is expected")
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset > timedelta(hours=14):
        raise FaultError("an offset of at most 14 hours is expected")
    return timezone(-offset if sign == "-" else offset)


def _one_of(kind: type[Choice]) -> Callable[[str], Choice]:
    def parse(value: str) -> Choice:
        try:
            return kind(value.lower())
        except ValueError:
            raise FaultError(f"one of {', '.join(kind)} is expected") from None

    return parse


policy = _one_of(PatientUpdatePolicy)
order_link = _one_of(OrderLink)
endpoint_payload = _one_of(EndpointPayload)
bundle_processing = _one_of(BundleProcessing)
audit_mode = _one_of(AuditMode)


def _matching(pattern: str, fault: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise FaultError(fault)
        return value

    return parse


identifier_type = _matching(r"[A-Z]{0,4}", "a code of HL7's table 0203 is expected, MR for example")
contact = _matching(
    r"((mailto|tel):[!-~]{1,200}|https?://[!-~]{1,200})?", "a URI is expected: mailto:..., tel:+... or https://..."
)
account_name = _matching(r"[a-z0-9]{3,24}", "3 to 24 lower-case letters and digits are expected")
"""A storage account's: it becomes part of a host name."""
# With the longest table name behind it, 63 characters are allowed (Understanding the Table service data model).
prefix = _matching(r"([A-Za-z][A-Za-z0-9]{0,30})?", "at most 31 letters and digits, a letter first, are expected")


def version(value: str) -> str:
    if value not in ("v1", "v2"):
        raise FaultError("v1 or v2 is expected")
    return value


def uri(value: str) -> str:
    if value and not is_absolute_uri(value):
        raise FaultError("a URI with its scheme is expected (urn:oid:1.2.3, https://...)")
    return value


def viewer_url(value: str) -> str:
    """A URL template, in which `{StudyInstanceUID}` is replaced by that of each study."""
    filled = value.replace(UID_IN_TEMPLATE, "1.2.3")
    if value and (UID_IN_TEMPLATE not in value or not re.fullmatch(r"https?://[^\s{}\"<>\\^`|@]+", filled)):
        raise FaultError(f"a URL with {UID_IN_TEMPLATE} in it is expected: https://viewer/?study={UID_IN_TEMPLATE}")
    return value


def systems(value: str) -> Mapping[str, str]:
    """A URI for each name, from a JSON object."""
    try:
        given = json.loads(value)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(one, str) and is_absolute_uri(one) for one in given.values()):
        raise FaultError('a JSON object is expected, of names and URIs: {"HOSPITAL": "urn:oid:1.2.3"}')
    return given

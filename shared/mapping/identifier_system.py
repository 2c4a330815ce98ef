"""The system of a Patient's identifier: a URI, from a setting or from IssuerOfPatientID, which may be any text."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
"""The characters that RFC 3986 allows, as R4's `uri` does (datatypes.html#uri)."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_SAFE = ":/?#[]@!$&'()*+,;="


@lru_cache(maxsize=1024)
def as_uri(text: str) -> str:
    """The text itself if it can be a URI; else percent-encoded, `HOSPITAL%20A`."""
    return text if _URI.fullmatch(text) else quote(text, safe=_SAFE)


def is_absolute_uri(text: str) -> bool:
    """Whether it is a URI with a scheme, as the system of an identifier should be (datatypes.html#Identifier)."""
    return bool(_SCHEME.fullmatch(text) and _URI.fullmatch(text))


def spellings(identifier: Mapping[str, str]) -> list[Mapping[str, str]]:
    """The identifier, and, if its system is encoded, the form that old releases and DICOM Cast wrote: `HOSPITAL A`."""
    system = identifier.get("system", "")
    former = unquote(system) if "%" in system else system
    if former == system or as_uri(former) != system:
        return [identifier]
    return [identifier, {**identifier, "system": former}]

"""Answers of FHIR servers, read into records of what the app needs.

An answer that cannot be read raises ValueError, whose message holds nothing of the answer's content.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.model.fhir import Resource, Written

_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?$")
_ID = re.compile(r"[^\s/?#]{1,64}")
"""An id as servers have it: R4 allows letters, digits, `-` and `.`, this only excludes what would change a URL."""
_LINKS = ("subject", "encounter", "endpoint", "basedOn", "partOf", "derivedFrom")
_FHIR_VERSION = re.compile(
    r"[0-9]\.[0-9]{1,2}(?:\.[0-9]{1,2})?(?:-(?:snapshot|ballot|cibuild|draft-final|preview)[0-9]?)?"
)
"""http://hl7.org/fhir/R4/valueset-FHIR-version.html, and the versions published since."""
_UNKNOWN_FORM = "of no known form"
_SOFTWARE = re.compile(r"[A-Za-z0-9 ._:()/+&,-]{1,100}")
"""The name of a product or its version: without line breaks, quotes, and the separators of DICOM and HL7 values."""
_VERSION = re.compile(r'^(?:W/)?"?([A-Za-z0-9\-.]{1,64})"?$')


@dataclass(frozen=True, slots=True)
class CapabilityStatement:
    """What the app needs of a CapabilityStatement; None if the server does not state it.

    `software`: name and version. `base`: the base URL that the server gives for itself. `fhir_version` and `software`
    are shown in status, log and self-check, so each is either of a checked form or a text of the app's own.
    """

    fhir_version: str
    software: str | None
    base: str | None
    transactions: bool | None
    batches: bool | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search: the resources of the type that was searched for, and the link to the next page.

    `total`: the number of matches on all pages, 0 if the server does not state it.
    """

    resources: list[Resource]
    following: str | None
    total: int


def statement_of(content: Resource) -> CapabilityStatement:
    """Reads the server's own `rest`, not one that describes it as a client (capabilitystatement.html, rest.mode)."""
    if content.get("resourceType") != "CapabilityStatement":
        raise ValueError("no CapabilityStatement")
    rests = [one for one in objects(content.get("rest")) if one.get("mode", "server") == "server"]
    codes = {_text(one.get("code")) for rest in rests for one in objects(rest.get("interaction"))}
    software = content.get("software")
    names = [software.get(name) for name in ("name", "version")] if isinstance(software, Mapping) else []
    valid_names = [one for one in names if isinstance(one, str) and _SOFTWARE.fullmatch(one)]
    implementation = content.get("implementation")
    base = implementation.get("url") if isinstance(implementation, Mapping) else None
    return CapabilityStatement(
        fhir_version=_fhir_version(content.get("fhirVersion")),
        software=" ".join(valid_names) or None,
        base=base if isinstance(base, str) else None,
        transactions="transaction" in codes if codes else None,
        batches=True if "batch" in codes else None,  # some servers take batches and do not state it
    )


def _fhir_version(stated: Any) -> str:
    if stated is None:
        return "none"
    return stated if isinstance(stated, str) and _FHIR_VERSION.fullmatch(stated) else _UNKNOWN_FORM


def page_of(content: Resource, resource_type: str) -> Page:
    """The page out of a searchset Bundle."""
    if content.get("resourceType") != "Bundle":
        raise ValueError("no Bundle")
    found = [one.get("resource") for one in objects(content.get("entry"))]
    resources = [
        resource_of(one, resource_type)
        for one in found
        if isinstance(one, dict) and one.get("resourceType") == resource_type
    ]
    links = [one for one in objects(content.get("link")) if one.get("relation") == "next"]
    following = links[0].get("url") if links else None
    total = content.get("total")
    return Page(resources, following if isinstance(following, str) else None, total if isinstance(total, int) else 0)


def resource_of(content: Resource, resource_type: str) -> Resource:
    """The same resource, checked: it is of the type that was asked for and has an id.

    Its other elements are checked when it is merged, so that one odd resource fails only its own study.
    """
    if content.get("resourceType") != resource_type:
        raise ValueError(f"no {resource_type}")
    id_ = content.get("id")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(f"a {resource_type} without an id")
    return content


def made_relative(resource: Resource, bases: Iterable[str | None]) -> Resource:
    """The same object, changed in place: absolute references to resources of this server become relative.

    `bases`: the base URLs by which the server is known. Some servers write absolute URLs, which mean the same
    (references.html#literal). Only the references that the app compares are changed.
    """
    prefixes = [f"{base.rstrip('/')}/".casefold() for base in bases if base]
    for link in _links(resource):
        reference = link.get("reference")
        if isinstance(reference, str) and "://" in reference:
            own = next((one for one in prefixes if reference.casefold().startswith(one)), "")
            link["reference"] = reference[len(own) :]
    return resource


def _links(resource: Resource) -> Iterator[Resource]:
    for name in _LINKS:
        value = resource.get(name)
        yield from objects(value if isinstance(value, list) else [value])
    for series in objects(resource.get("series")):
        yield from objects(series.get("endpoint"))
    for link in objects(resource.get("link")):
        yield from objects([link.get("other")])


def entries_of(content: Resource, count: int) -> list[Resource]:
    """The entries of the answer to a batch or transaction of `count` entries."""
    entries = list(objects(content.get("entry")))
    if len(entries) != count:
        raise ValueError(f"{len(entries)} entries in answer to {count}")
    return entries


def written_of(entry: Resource) -> Written:
    """What became of one entry of a transaction, out of its answer (bundle.html, Bundle.entry.response)."""
    response = entry.get("response")
    status = str(response.get("status", "")).split()[:1] if isinstance(response, Mapping) else []
    if not status or not status[0].startswith("2"):
        raise ValueError("an entry that does not say that it was done")
    assert isinstance(response, Mapping)
    resource = entry.get("resource") if isinstance(entry.get("resource"), Mapping) else {}
    location = _REFERENCE.search(_text(response.get("location")))
    reference, version = (location[1], location[2]) if location else (_reference_of(resource or {}), None)
    return Written(status[0] == "201", reference, version or version_of(_text(response.get("etag"))))


def version_of(etag: str) -> str | None:
    """The version in an ETag, which is `W/"2"`, or from some servers just `2`; None if there is none."""
    found = _VERSION.match(etag)
    return found[1] if found else None


def is_done(entry: Resource) -> bool:
    """Whether this entry of a batch's answer has a status of 2xx."""
    return _status(entry).startswith("2")


def is_throttled(entry: Resource) -> bool:
    """Whether this entry of a batch's answer has the status 429, which then counts for the whole batch."""
    return _status(entry).startswith("429")


def _reference_of(resource: Mapping[str, Any]) -> str | None:
    kind, id_ = resource.get("resourceType"), resource.get("id")
    return f"{kind}/{id_}" if isinstance(kind, str) and isinstance(id_, str) else None


def _status(entry: Resource) -> str:
    response = entry.get("response")
    return str(response.get("status", "")) if isinstance(response, Mapping) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def objects(value: Any) -> Iterator[Resource]:
    """The JSON objects in a list; none if the value is not a list."""
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())

"""What FHIR servers answer, read into records of what we need; raises ValueError, whose text carries no content."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.model.fhir import Resource, Written

_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?$")
_ID = re.compile(r"[^\s/?#]{1,64}")
"""R4's ids have letters, digits, `-` and `.`; what would make another path of a URL is none."""
_LINKS = ("subject", "encounter", "endpoint", "basedOn", "partOf", "derivedFrom")
_FHIR_VERSION = re.compile(
    r"[0-9]\.[0-9]{1,2}(?:\.[0-9]{1,2})?(?:-(?:snapshot|ballot|cibuild|draft-final|preview)[0-9]?)?"
)
"""http://hl7.org/fhir/R4/valueset-FHIR-version.html, and what followed."""
_NOT_ONE = "of no known form"
_SOFTWARE = re.compile(r"[A-Za-z0-9 ._:()/+&,-]{1,100}")
"""What names a product or its version: no line, quotes, or signs that DICOM and HL7 values are joined by."""
_VERSION = re.compile(r'^(?:W/)?"?([A-Za-z0-9\-.]{1,64})"?$')


@dataclass(frozen=True, slots=True)
class CapabilityStatement:
    """Of a CapabilityStatement. None: it does not say. `software` is name and version; `base` is the server's own.

    `fhir_version` and `software` are told in status, log and self-check: they are of a checked form, or words of ours.
    """

    fhir_version: str
    software: str | None
    base: str | None
    transactions: bool | None
    batches: bool | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search: the resources of the type that was asked for, and the link to what follows.

    `total`: how many there are in all, 0 where that is not told.
    """

    resources: list[Resource]
    following: str | None
    total: int


def statement_of(content: Resource) -> CapabilityStatement:
    """Of the server's own `rest`, not of one that it has as a client (capabilitystatement.html, rest.mode)."""
    if content.get("resourceType") != "CapabilityStatement":
        raise ValueError("no CapabilityStatement")
    rests = [one for one in objects(content.get("rest")) if one.get("mode", "server") == "server"]
    codes = {_text(one.get("code")) for rest in rests for one in objects(rest.get("interaction"))}
    said = content.get("software")
    software = [said.get(name) for name in ("name", "version")] if isinstance(said, Mapping) else []
    named = [one for one in software if isinstance(one, str) and _SOFTWARE.fullmatch(one)]
    implementation = content.get("implementation")
    base = implementation.get("url") if isinstance(implementation, Mapping) else None
    return CapabilityStatement(
        fhir_version=_fhir_version(content.get("fhirVersion")),
        software=" ".join(named) or None,
        base=base if isinstance(base, str) else None,
        transactions="transaction" in codes if codes else None,
        batches=True if "batch" in codes else None,  # some take them and do not say so
    )


def _fhir_version(said: Any) -> str:
    if said is None:
        return "none"
    return said if isinstance(said, str) and _FHIR_VERSION.fullmatch(said) else _NOT_ONE


def page_of(content: Resource, resource_type: str) -> Page:
    """Of a searchset Bundle."""
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
    """What a read, or an entry of a search, gives: of the type that was asked for, with what tells it from others.

    The rest of it is read where it is merged (`mapping/held.py`): one odd resource is its own study's fault.
    """
    if content.get("resourceType") != resource_type:
        raise ValueError(f"no {resource_type}")
    id_ = content.get("id")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ValueError(f"a {resource_type} without an id")
    return content


def made_relative(resource: Resource, bases: Iterable[str | None]) -> Resource:
    """The same object; its references to what the server itself has, by any of its base URLs, are relative ones.

    Such are the same reference (references.html#literal): some servers write them out. Only those that are compared.
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
    """The entries of the answer to a batch or transaction of `count`."""
    entries = list(objects(content.get("entry")))
    if len(entries) != count:
        raise ValueError(f"{len(entries)} entries in answer to {count}")
    return entries


def written_of(entry: Resource) -> Written:
    """Of one entry of the answer to a transaction (bundle.html, Bundle.entry.response)."""
    response = entry.get("response")
    status = str(response.get("status", "")).split()[:1] if isinstance(response, Mapping) else []
    if not status or not status[0].startswith("2"):
        raise ValueError("an entry that does not say that it was done")
    assert isinstance(response, Mapping)
    resource = entry.get("resource") if isinstance(entry.get("resource"), Mapping) else {}
    told = _REFERENCE.search(_text(response.get("location")))
    reference, version = (told[1], told[2]) if told else (_reference_of(resource or {}), None)
    return Written(status[0] == "201", reference, version or version_of(_text(response.get("etag"))))


def version_of(etag: str) -> str | None:
    """The version that an ETag names: `W/"2"`, as some write it `2`."""
    told = _VERSION.match(etag)
    return told[1] if told else None


def is_done(entry: Resource) -> bool:
    """Whether one entry of a batch's answer is a 2xx."""
    return _status(entry).startswith("2")


def is_throttled(entry: Resource) -> bool:
    """Whether one entry of a batch's answer is a 429: as if the batch were."""
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
    """The objects of what should be a list of them."""
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())

"""What we wrote on an ImagingStudy last, kept on it in an extension: it tells what of it is ours to take back.

As Kubernetes' last-applied configuration: what is in the record and still stands as we wrote it is ours; all else is
somebody else's, also where it equals what we say. The record holds a short hash of each value, never the value.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from shared.mapping.accession import is_accession
from shared.mapping.resources import Fragment
from shared.mapping.table import elements_of
from shared.model.fhir import Resource

URL = "urn:dicom-cast:last-applied"
LINKS = frozenset({"subject", "endpoint"})
"""Their references are made by the server: what is said of them is never recorded, and never taken back."""
_HASH_BYTES = 4
"""Eight characters a value. That another's value looks like one of ours has one chance in 10^8 where there are 40."""


def recorded(study: Resource) -> frozenset[str] | None:
    """The marks of what we wrote; None where no record is kept: the study is another system's, or of before."""
    for extension in study.get("extension", ()):
        if extension.get("url") == URL:
            return frozenset(str(extension.get("valueString", "")).split())
    return None


def with_record(study: Resource, marks: Iterable[str]) -> Resource:
    """The study with this record; without any where there are no marks."""
    others = [one for one in study.get("extension", ()) if one.get("url") != URL]
    text = " ".join(sorted(set(marks)))
    extensions = [*others, {"url": URL, "valueString": text}] if text else others
    bare = {name: value for name, value in study.items() if name != "extension"}
    return {**bare, "extension": extensions} if extensions else bare


def mark(path: str, value: Any) -> str:
    """The mark of one value: `path` is the element, before it the SeriesInstanceUID where it is a series'."""
    try:
        text = msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:  # half of a surrogate pair, which another system may have written
        text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return blake2b(b"%b %b" % (path.encode(), text), digest_size=_HASH_BYTES).hexdigest()


def marks_of(fragments: Iterable[Fragment], before: Resource | None, path: str = "") -> set[str]:
    """The marks of all that the fragments say and that did not stand on `before`: that is not of our making."""
    held: Mapping[str, Any] = before or {}
    marks: set[str] = set()
    for fragment in fragments:
        for single in (fragment.fill, fragment.set):
            for name, value in single.items():
                if name not in LINKS and held.get(name) != value:
                    marks.add(mark(path + name, value))
        for name, items in fragment.add.items():
            if name not in LINKS:
                there = {mark(path + name, item) for item in held.get(name, ())}
                news = {mark(path + name, item) for item in items if not is_identity(name, item)}
                marks |= news - there
    return marks


def assumed(study: Resource, *, is_ours: bool, is_linked: bool, extended: bool) -> frozenset[str]:
    """The marks of what is ours by its shape, of a study without a record.

    `is_linked`: it has our Endpoint, so that we have written on it before. `extended`: whether the mapping writes
    `description`, by which our note is told from others'.
    """
    if not is_ours and not is_linked:
        return frozenset()
    marks = {mark("identifier", one) for one in study.get("identifier", ()) if is_accession(one)}
    notes = study.get("note", [])
    of_ours = [{"text": study.get("description")}] if extended else notes[:1] if len(notes) == 1 and is_ours else []
    marks |= {mark("note", one) for one in notes if one in of_ours}
    if study.get("referrer", {}).keys() == {"display"}:
        marks.add(mark("referrer", study["referrer"]))
    if is_ours:
        marks |= {mark(name, study[name]) for name in elements_of("ImagingStudy").set if name in study}
        for one in study.get("series", ()):
            names = [name for name in elements_of("ImagingStudy.series").set if name in one]
            marks |= {mark(f"{one['uid']}/{name}", one[name]) for name in names}
    return frozenset(marks)


def is_identity(name: str, item: Any) -> bool:
    """Whether it is the identifier that the study is found by, which stays while the study does."""
    return name == "identifier" and "type" not in item

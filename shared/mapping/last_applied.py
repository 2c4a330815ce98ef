"""The record of what we last wrote on an ImagingStudy, kept on it in an extension: only that may be removed again.

It works like Kubernetes' last-applied configuration: a value that is in the record and is still as we wrote it is ours.
All else is somebody else's, even if we would write the same. The record holds a short hash of each value, its mark.
"""

import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Any

import msgspec

from shared.mapping.accession import is_accession
from shared.mapping.resources import Fragment
from shared.mapping.table import elements_of
from shared.model.fhir import Resource

URL = "urn:dicom-cast:last-applied"
LINKS = frozenset({"subject", "endpoint"})
"""Elements of links that stay as long as the study: never recorded, except those of series (`series_endpoint`)."""
_HASH_BYTES = 4
"""Eight characters a value: among 40 values the chance is 1 in 10^8 that another's value is taken for one of ours."""


def recorded(study: Resource) -> frozenset[str] | None:
    """The marks of what we wrote; None without a record: the study is another system's, or from an early release."""
    for extension in study.get("extension", ()):
        if extension.get("url") == URL:
            return frozenset(str(extension.get("valueString", "")).split())
    return None


def with_record(study: Resource, marks: Iterable[str]) -> Resource:
    """The study with a record of these marks; without a record if there are none."""
    others = [one for one in study.get("extension", ()) if one.get("url") != URL]
    text = " ".join(sorted(set(marks)))
    extensions = [*others, {"url": URL, "valueString": text}] if text else others
    bare = {name: value for name, value in study.items() if name != "extension"}
    return {**bare, "extension": extensions} if extensions else bare


def mark(path: str, value: Any) -> str:
    """The mark of one value. `path`: the element, for a series `SeriesInstanceUID/element`."""
    try:
        text = msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:  # half of a surrogate pair, which another system may have written
        text = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return blake2b(b"%b %b" % (path.encode(), text), digest_size=_HASH_BYTES).hexdigest()


def is_marked(marks: AbstractSet[str], path: str, element: str, value: Any) -> bool:
    """Whether the app wrote the value, as these marks of a record show."""
    return element not in LINKS and mark(path + element, value) in marks


def marks_of(fragments: Iterable[Fragment], before: Resource | None, path: str = "") -> set[str]:
    """The marks of what the fragments say, except what stood on `before` already, which is not ours."""
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
    """For a study without a record: the marks of what has the shape of ours.

    `is_linked`: the study links to our Endpoint, so we have written on it before. `extended`: whether the mapping
    writes `description`, by which our note is distinguished from others'.
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
            held = [name for name in elements_of("ImagingStudy.series").set if name in one]
            names = [name for name in held if not _says_more(name, one)]
            marks |= {mark(f"{one['uid']}/{name}", one[name]) for name in names}
    return frozenset(marks)


def is_identity(name: str, item: Any) -> bool:
    """Whether it is the identifier that the study is found by, which stays as long as the study."""
    return name == "identifier" and "type" not in item


def _says_more(name: str, series: Resource) -> bool:
    """Whether another has put something on the series' modality, such as a display, which we never write."""
    return name == "modality" and not series[name].keys() <= {"system", "code"}

"""What an `update` of tags makes untrue in the ImagingStudy that FHIR holds."""

from collections.abc import Callable, Sequence

from shared.mapping.merge import contains
from shared.mapping.resources import Fragment
from shared.model import Resource


def without_what_was(study: Resource, fragments: Sequence[Fragment]) -> Resource:
    """The study without what an update of its tags has made untrue.

    Lists collect what instances say, so an old accession number or description would stay beside the new one. What
    others wrote tells itself apart: by a system, or by more than a text. An update empties no value (Azure: "Update
    DICOM files"), so where these instances say nothing it is others of the study that said what there is.
    """
    kept = dict(study)
    for element, is_said, was_ours in (
        ("identifier", _is_accession, _is_accession),
        ("note", bool, _is_description_of(study)),
    ):
        said = [item for fragment in fragments for item in fragment.add.get(element, ()) if is_said(item)]
        if said and element in study:
            kept[element] = [
                one for one in study[element] if not was_ours(one) or any(contains(one, item) for item in said)
            ]
    referrers = [fragment.fill["referrer"] for fragment in fragments if "referrer" in fragment.fill]
    if referrers and set(study.get("referrer", {})) == {"display"}:
        kept["referrer"] = referrers[-1]
    return {element: value for element, value in kept.items() if value != []}


def _is_accession(identifier: Resource) -> bool:
    codings = identifier.get("type", {}).get("coding", [])
    return set(identifier) == {"type", "value"} and any(one.get("code") == "ACSN" for one in codings)


def _is_description_of(study: Resource) -> Callable[[Resource], bool]:
    return lambda note: note == {"text": study.get("description")}

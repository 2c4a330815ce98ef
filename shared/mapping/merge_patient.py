"""What instances say of a patient + the Patient that FHIR holds -> the Patient to write."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from shared.mapping.merge import apply
from shared.mapping.patients import filling, script_of
from shared.mapping.resources import Fragment
from shared.model.fhir import Resource
from shared.model.options import PatientUpdatePolicy

_NAME_PARTS = ("family", "given", "prefix", "suffix")


def merge_patient(
    existing: Resource | None,
    wanted: Fragment,
    policy: PatientUpdatePolicy = PatientUpdatePolicy.OVERWRITE,
    older: Collection[str] = (),
) -> Resource | None:
    """The Patient to write; None if nothing changes. Name and gender follow the policy, the birth date is filled.

    `older`: statements (see `statements_of`) that may not be the newest about this patient: they only fill.
    """
    if existing is not None and policy is PatientUpdatePolicy.NEVER:
        return None
    if policy is PatientUpdatePolicy.FILL:
        wanted = replace(wanted, set={}, fill={**wanted.fill, **wanted.set})
    elif existing is not None and older:
        wanted = filling(wanted, older)
    others = {element: value for element, value in wanted.set.items() if element != "name"}
    merged = apply(existing, {"resourceType": "Patient"}, replace(wanted, set=others), {})
    if names := wanted.set.get("name"):
        merged["name"] = _merged_names(merged.get("name", []), names)
    return None if merged == existing else merged


def _merged_names(existing: Sequence[Resource], wanted: Sequence[Resource]) -> list[Resource]:
    """The usual name of each script as wanted; other names, and other parts of these, stay."""
    names = list(existing)
    for name in wanted:
        at = next((i for i, one in enumerate(names) if _is_same_kind(one, name)), None)
        if at is None:
            names.append(name)
        elif changed := [part for part in _NAME_PARTS if _part(names[at], part) != name.get(part)]:
            gone = {*changed, *(f"_{part}" for part in changed)}
            kept = {part: value for part, value in names[at].items() if part not in gone}
            names[at] = kept | {part: name[part] for part in changed if part in name}
    return names


def _part(name: Resource, part: str) -> Any:
    """A part of a name, without the nulls in lists for values that only have extensions (json.html#primitive)."""
    value = name.get(part)
    if isinstance(value, list) and f"_{part}" in name:
        return [one for one in value if one is not None] or None
    return value


def _is_same_kind(existing: Resource, wanted: Resource) -> bool:
    return existing.get("use") == "usual" and script_of(existing) == script_of(wanted)

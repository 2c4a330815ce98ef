"""A patient's identity, by which Patients are looked up and studies are grouped, and what instances state about one."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.mapping.converters import NAME_REPRESENTATION, urn
from shared.mapping.held import objects, text
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.resources import Fragment, MappedInstance, Scope, map_scope
from shared.mapping.text import each_once
from shared.model.fhir import Resource

_IDENTIFIER = Scope.of("Patient", element="identifier")
_PATIENT = Scope.of("Patient")


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """The identifier that the mapping makes of PatientID; `system` is empty if it has none."""

    system: str
    value: str

    @classmethod
    def of(cls, patient: Fragment) -> "PatientIdentity":
        """The patient of a Patient fragment."""
        identifier = patient.add["identifier"][0]
        return cls(identifier.get("system", ""), identifier["value"])

    @property
    def name(self) -> str:
        """The Patient's name inside a bundle."""
        return urn("Patient", self.system, self.value)


class Patients:
    """The patients of instances: only the identifier's row of the mapping is used, once for equal elements."""

    def __init__(self, options: MappingOptions) -> None:
        self._options = options
        self._known: dict[Hashable, PatientIdentity | None] = {}
        self._last: tuple[list[Any], PatientIdentity | None] = [], None

    def of(self, metadata: Mapping[str, Any] | None) -> PatientIdentity | None:
        """None if the instance names no patient, or one that cannot be used."""
        if metadata is None:
            return None
        elements = [metadata.get(tag) for tag in _IDENTIFIER.keys]
        last = self._last
        if elements != last[0]:  # instances of one study mostly have the same, and share them as objects
            last = self._last = elements, self._of(elements, metadata)
        return last[1]

    def _of(self, elements: Sequence[Any], metadata: Mapping[str, Any]) -> PatientIdentity | None:
        key = tuple(map(_raw, elements))
        if key not in self._known:
            patient = map_scope(_IDENTIFIER, metadata, self._options)
            self._known[key] = PatientIdentity.of(patient) if patient.add else None
        return self._known[key]


def _raw(element: Any) -> Hashable:
    """A key that tells elements apart; most have one text."""
    if element is None:
        return None
    match element:
        case {"Value": [str(value)]}:
            return value
    return (repr(element),)


def statements_of(patient: Fragment) -> dict[str, Any]:
    """What follows DICOM, by name of the statement: `gender`, and `name ` with each script. Each has a newest entry."""
    others = {element: value for element, value in patient.set.items() if element != "name"}
    return others | {f"name {script_of(name) or ''}": name for name in patient.set.get("name", ())}


def stated_by(metadata: Mapping[str, Any], options: MappingOptions) -> tuple[PatientIdentity, Collection[str]] | None:
    """The patient of an instance, and the names of the statements about it; None if it names no patient to use."""
    patient = map_scope(_PATIENT, metadata, options)
    return None if patient.broken else (PatientIdentity.of(patient), statements_of(patient).keys())


def script_of(name: Resource) -> str | None:
    """IDE or SYL; None for the alphabetic name."""
    codes = (one.get("valueCode") for one in objects(name.get("extension")) if one.get("url") == NAME_REPRESENTATION)
    return next(codes, None)


def replaced_by(patient: Resource) -> list[str]:
    """References to the Patients that replace it (valueset-link-type.html); empty text for a link without one."""
    links = [link for link in objects(patient.get("link")) if link.get("type") == "replaced-by"]
    others = [link.get("other") for link in links]
    references = [text(other.get("reference")) if isinstance(other, dict) else "" for other in others]
    return list(dict.fromkeys(reference.split("/_history/")[0] for reference in references))


def filling(patient: Fragment, older: Collection[str]) -> Fragment:
    """The fragment, of which the statements with these names only fill what is missing."""
    statements = statements_of(patient)
    sets = _elements({name: value for name, value in statements.items() if name not in older})
    fills = _elements({name: value for name, value in statements.items() if name in older})
    return replace(patient, set=sets, fill={**patient.fill, **fills})


def combined(of_instances: Iterable[Fragment]) -> Fragment:
    """What instances say about one patient: the last statement of each name; what is filled is the first one's."""
    fragments = list(of_instances)
    if len(fragments) == 1:
        return fragments[0]
    statements: dict[str, Any] = {}
    fills: dict[str, Any] = {}
    for fragment in fragments:
        statements |= statements_of(fragment)
        fills = {**fragment.fill, **fills}
    last = fragments[-1]
    others = (one for fragment in fragments for one in fragment.add["identifier"][1:])
    identifiers = each_once([*last.add["identifier"][:1], *others])
    return replace(last, set=_elements(statements), fill=fills, add={**last.add, "identifier": identifiers})


def _elements(statements: Mapping[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in statements.items() if not name.startswith("name ")}
    names = [value for name, value in statements.items() if name.startswith("name ")]
    return others | ({"name": names} if names else {})


def several_patients(instances: Iterable[MappedInstance]) -> str | None:
    """The message about instances of one study that are not all one patient's: how many they are, never which."""
    fragments = {id(instance.patient): instance.patient for instance in instances}
    count = len({PatientIdentity.of(fragment) for fragment in fragments.values()})
    if count <= 1:
        return None
    return (
        f"instances of the study carry {count} PatientIDs: its subject is one of these Patients; "
        "find out whose they are, and correct them in the DICOM service"
    )

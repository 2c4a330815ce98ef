"""Who a patient is, and what is said of one. For look-up, for grouping and for lanes a patient is the same."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.mapping.converters import NAME_REPRESENTATION, MappingOptions, urn
from shared.mapping.held import objects, text
from shared.mapping.resources import Fragment, MappedInstance, Scope, map_scope
from shared.model.fhir import Resource

_IDENTIFIER = Scope.of("Patient", element="identifier")


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """The identifier that the mapping makes of PatientID; `system` is empty where it has none."""

    system: str
    value: str

    @classmethod
    def of(cls, patient: Fragment) -> "PatientIdentity":
        """Whom the fragment is about."""
        identifier = patient.add["identifier"][0]
        return cls(identifier.get("system", ""), identifier["value"])

    @property
    def name(self) -> str:
        """The Patient's name inside a bundle."""
        return urn("Patient", self.system, self.value)


class Patients:
    """Whose instances are. Of the mapping only the identifier's row is used, once for the same raw elements."""

    def __init__(self, options: MappingOptions) -> None:
        self._options = options
        self._known: dict[Hashable, PatientIdentity | None] = {}

    def of(self, metadata: Mapping[str, Any] | None) -> PatientIdentity | None:
        """None where the instance names no patient that can be used."""
        if metadata is None:
            return None
        key = tuple([_raw(metadata.get(tag)) for tag in _IDENTIFIER.keys])
        if key not in self._known:
            patient = map_scope(_IDENTIFIER, metadata, self._options)
            self._known[key] = PatientIdentity.of(patient) if patient.add else None
        return self._known[key]


def _raw(element: Any) -> Hashable:
    """What tells elements apart; most are one text."""
    if element is None:
        return None
    match element:
        case {"Value": [str(value)]}:
            return value
    return (repr(element),)


def statements_of(patient: Fragment) -> dict[str, Any]:
    """What follows DICOM, word by word: the gender, and a name in each script. Each has its own newest entry."""
    words = {element: value for element, value in patient.set.items() if element != "name"}
    return words | {f"name {script_of(name) or ''}": name for name in patient.set.get("name", ())}


def script_of(name: Resource) -> str | None:
    """IDE or SYL; None for the alphabetic name."""
    codes = (one.get("valueCode") for one in objects(name.get("extension")) if one.get("url") == NAME_REPRESENTATION)
    return next(codes, None)


def replaced_by(patient: Resource) -> list[str]:
    """References to what is to be used in its place (valueset-link-type.html); empty: one that names no resource."""
    links = [link for link in objects(patient.get("link")) if link.get("type") == "replaced-by"]
    others = [link.get("other") for link in links]
    told = [text(other.get("reference")) if isinstance(other, dict) else "" for other in others]
    return list(dict.fromkeys(reference.split("/_history/")[0] for reference in told))


def filling(patient: Fragment, words: Collection[str]) -> Fragment:
    """The same, but that these words only fill what is missing."""
    said = statements_of(patient)
    sets = _elements({word: value for word, value in said.items() if word not in words})
    fills = _elements({word: value for word, value in said.items() if word in words})
    return replace(patient, set=sets, fill={**patient.fill, **fills})


def combined(said: Iterable[Fragment]) -> Fragment:
    """What instances say of one patient: a later word over an earlier one; what is filled is the first one's."""
    fragments = list(said)
    if len(fragments) == 1:
        return fragments[0]
    words: dict[str, Any] = {}
    fills: dict[str, Any] = {}
    for fragment in fragments:
        words |= statements_of(fragment)
        fills = {**fragment.fill, **fills}
    last = fragments[-1]
    identifiers = list(last.add["identifier"][:1])
    for one in (one for fragment in fragments for one in fragment.add["identifier"][1:]):
        if one not in identifiers:
            identifiers.append(one)
    return replace(last, set=_elements(words), fill=fills, add={**last.add, "identifier": identifiers})


def _elements(words: Mapping[str, Any]) -> dict[str, Any]:
    elements = {word: value for word, value in words.items() if not word.startswith("name ")}
    names = [name for word, name in words.items() if word.startswith("name ")]
    return elements | ({"name": names} if names else {})


def several_patients(instances: Iterable[MappedInstance]) -> str | None:
    """What is to be told of instances of one study that are not all one patient's: how many, never which."""
    fragments = {id(instance.patient): instance.patient for instance in instances}
    count = len({PatientIdentity.of(fragment) for fragment in fragments.values()})
    if count <= 1:
        return None
    return (
        f"instances of the study carry {count} PatientIDs: its subject is one of these Patients; "
        "find out whose they are, and correct them in the DICOM service"
    )

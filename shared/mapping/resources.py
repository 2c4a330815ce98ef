"""Table + change feed entry -> what Patient, Endpoint and ImagingStudy should say.

Patient, study and series tags repeat in every instance of a study: they are mapped again only if the raw elements
differ from those mapped last. An invalid optional tag is therefore reported once for consecutive instances that have
it, for the first of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import InvalidDicomTagError
from shared.mapping import authored, dicom_json
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.table import AGREE, CREATE, DERIVE, FILL, LINK, SET, How, Row, rows_read_of
from shared.mapping.text import InvalidItemsError, InvalidValueError
from shared.model.change_feed import ChangeFeedEntry
from shared.model.failures import InvalidTag

MOST_ITEMS = 100
"""In one list, from one instance: a sender may put thousands there, which the FHIR server and its readers pay for."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one scope should say: values by element, grouped by how they are merged; `add` has the items of lists.

    `faults`: optional tags that were left out. `broken`: required tags that are missing or invalid. `orders`:
    identifiers of the orders that the study fulfils, which are looked up in FHIR. `agree`: what an instance says about
    itself, and its series does as long as all instances of it say the same.
    """

    create: Mapping[str, Any]
    set: Mapping[str, Any]
    fill: Mapping[str, Any]
    add: Mapping[str, Sequence[Any]]
    faults: tuple[InvalidTag, ...] = ()
    broken: tuple[InvalidTag, ...] = ()
    orders: tuple[Mapping[str, Any], ...] = ()
    agree: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MappedInstance:
    """One mapped entry. Instances share equal fragments as one object. `faults`: those to record for this entry."""

    entry: ChangeFeedEntry
    patient: Fragment
    study: Fragment
    series: Fragment
    instance: Fragment
    faults: tuple[InvalidTag, ...]


def listed_by(instances: Iterable[MappedInstance], scope: Callable[[MappedInstance], Fragment]) -> list[Fragment]:
    """The fragments of a scope, each once, in the order in which instances have them last."""
    found: dict[int, Fragment] = {}
    for one in instances:
        fragment = scope(one)
        found.pop(id(fragment), None)
        found[id(fragment)] = fragment
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Shared:
    """What consecutive instances share: the elements that are not an instance's own, and the fragments made of them."""

    elements: Mapping[str, Any]
    patient: Fragment
    study: Fragment
    series: Fragment


class StudyMapper:
    """Maps the entries of one study, in the feed's order. It keeps only what was mapped last."""

    def __init__(self, options: MappingOptions) -> None:
        self._options = options
        self._shared: _Shared | None = None
        self._last: dict[tuple[str, str], tuple[tuple[Any, ...], Fragment]] = {}

    def map(self, entry: ChangeFeedEntry) -> MappedInstance:
        """Raises InvalidDicomTagError if a required tag is missing or invalid, or any tag if validation is enforced."""
        metadata = entry.metadata or {}
        instance = map_scope(_INSTANCE, metadata, self._options)
        shared, new = self._map_shared(entry.series_instance_uid, metadata)
        fragments = (shared.patient, shared.study, shared.series, instance)

        broken = [fault for fragment in fragments for fault in fragment.broken]
        if self._options.enforce_validation:
            broken += [fault for fragment in fragments for fault in fragment.faults]
        if broken := broken or _mismatches(entry, shared, instance):
            raise InvalidDicomTagError(tuple(dict.fromkeys(broken)))
        faults = [fault for fragment in (*new, instance) for fault in fragment.faults]
        of_entry = tuple(dict.fromkeys(faults)) if faults else ()
        return MappedInstance(entry, shared.patient, shared.study, shared.series, instance, of_entry)

    def _map_shared(self, series_uid: str, metadata: Mapping[str, Any]) -> tuple[_Shared, list[Fragment]]:
        """What the instance shares with others, and those of the fragments that are new."""
        elements = {key: element for key, element in metadata.items() if key not in _OWN}
        if self._shared is not None and self._shared.elements == elements:
            return self._shared, []
        new: list[Fragment] = []
        patient = self._cached(_PATIENT, "", metadata, new)
        study = self._cached(_STUDY, "", metadata, new)
        series = self._cached(_SERIES, series_uid, metadata, new)
        self._shared = _Shared(elements, patient, study, series)
        return self._shared, new

    def _cached(self, scope: "Scope", uid: str, metadata: Mapping[str, Any], new: list[Fragment]) -> Fragment:
        raw = tuple([metadata.get(key) for key in scope.keys])
        last = self._last.get((scope.name, uid))
        if last is not None and last[0] == raw:
            return last[1]
        fragment = map_scope(scope, metadata, self._options)
        self._last[scope.name, uid] = raw, fragment
        new.append(fragment)
        return fragment


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource or backbone element, its rows and the DICOM JSON keys of their tags.

    `optional`: for each row, the keys of which at least one must be present for it to apply; empty if it always does.
    """

    name: str
    rows: tuple[Row, ...]
    optional: tuple[frozenset[str], ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, name: str, *, derived: bool = False, element: str | None = None) -> "Scope":
        """`derived`: with the DERIVE rows, which else the merge makes. `element`: only the rows of this element."""
        rows = tuple(row for row in rows_read_of(name) if derived or row.how is not DERIVE)
        rows = tuple(row for row in rows if element in (None, row.element))
        optional = tuple(frozenset() if row.required else frozenset(row.keys) for row in rows)
        return cls(name, rows, optional, tuple(dict.fromkeys(key for row in rows for key in row.keys)))


_PATIENT = Scope.of("Patient")
_ENDPOINT = Scope.of("Endpoint")
_STUDY = Scope.of("ImagingStudy")
_SERIES = Scope.of("ImagingStudy.series")
_INSTANCE = Scope.of("ImagingStudy.series.instance")


_OWN = frozenset(_INSTANCE.keys)
"""The keys of an instance's own tags."""
MAPPED_KEYS = frozenset(key for scope in (_PATIENT, _STUDY, _SERIES, _INSTANCE) for key in scope.keys)
"""The DICOM JSON keys of all tags that the mapping reads; the rest of an instance's metadata is not needed."""


def map_endpoint(options: MappingOptions) -> Fragment:
    """The Endpoint of the DICOM service, which is made from settings alone."""
    return map_scope(_ENDPOINT, {}, options)


def map_scope(scope: Scope, metadata: Mapping[str, Any], options: MappingOptions) -> Fragment:
    """The scope's rows applied to one instance's metadata."""
    values: dict[How, dict[str, Any]] = {CREATE: {}, SET: {}, FILL: {}, AGREE: {}}
    add: dict[str, list[Any]] = {}
    faults: list[InvalidTag] = []
    broken: list[InvalidTag] = []
    orders: tuple[Mapping[str, Any], ...] = ()
    for row, optional in zip(scope.rows, scope.optional, strict=True):
        if (optional and optional.isdisjoint(metadata)) or (row.ours and not options.extended):
            continue
        value = _convert(row, metadata, options, faults, broken)
        if row.how is LINK:
            orders = tuple(value or ())
            continue
        value = _as_allowed(row, value, faults, broken if row.required else faults)
        if value is None or value == []:
            continue
        if row.is_added:
            add.setdefault(row.element, []).extend(value)
            continue
        of_kind = values[SET if row.how is DERIVE else row.how]
        if row.how is CREATE and row.element in of_kind:  # two rows make one element: meta's source and its tag
            value = {**of_kind[row.element], **value}
        of_kind[row.element] = value
    return Fragment(values[CREATE], values[SET], values[FILL], add, tuple(faults), tuple(broken), orders, values[AGREE])


def _convert(
    row: Row, metadata: Mapping[str, Any], options: MappingOptions, faults: list[InvalidTag], broken: list[InvalidTag]
) -> Any:
    """The row's value, None if it has none; what is invalid goes into `faults` or `broken`."""
    found: list[Any] = []
    is_guess = False
    for tag in row.tags:
        required = row.required and not found
        try:
            value = dicom_json.read(metadata, tag)
        except InvalidItemsError as error:
            faults.append(tag.invalid(str(error)))
            value = error.rest
        except InvalidValueError as error:
            # With an invalid issuer the PatientID may be another patient's.
            is_guess |= options.is_identity(tag.keyword)
            (broken if required or is_guess else faults).append(tag.invalid(str(error)))
            value = [] if tag.many else None  # so that the converter sees it as present, though invalid
        else:
            if required and value is None:
                broken.append(tag.invalid("required, and missing or empty"))
        if isinstance(value, list) and len(value) > MOST_ITEMS:
            faults.append(tag.invalid(f"{len(value)} items, of which the first {MOST_ITEMS} are used"))
            value = value[:MOST_ITEMS]
        found.append(value)
    if is_guess or (row.tags and found[0] is None and (row.required or all(one is None for one in found))):
        return None
    try:
        return row.convert(options, *found)
    except InvalidItemsError as error:
        faults.append(row.tags[error.of_tag].invalid(str(error)))
        return error.rest
    except InvalidValueError as error:
        (broken if row.required else faults).append(row.tags[error.of_tag].invalid(str(error)))
        return None


def _as_allowed(row: Row, value: Any, faults: list[InvalidTag], broken: list[InvalidTag]) -> Any:
    """The value without what FHIR R4 does not allow; a list if the row adds to one."""
    if value is None or value == []:
        return value
    if not row.is_added:
        if rule := authored.rule_broken(row.scope, row.element, value):
            broken.append(row.tags[0].invalid(rule))
        return None if rule else value
    items = value if isinstance(value, list) else [value]
    if len(items) > MOST_ITEMS:
        faults.append(row.tags[0].invalid(f"{len(items)} items, of which the first {MOST_ITEMS} are used"))
        items = items[:MOST_ITEMS]
    if authored.rule_broken(row.scope, row.element, items) is None:
        return items
    rules = [authored.rule_broken(row.scope, row.element, [item]) for item in items]
    broken.extend(row.tags[0].invalid(rule) for rule in dict.fromkeys(filter(None, rules)))
    return [item for item, rule in zip(items, rules, strict=True) if rule is None]


def _mismatches(entry: ChangeFeedEntry, shared: _Shared, instance: Fragment) -> list[InvalidTag]:
    """The UIDs that differ from the entry's: such an entry is written under neither identity."""
    study_uid = shared.study.add["identifier"][0]["value"].removeprefix("urn:oid:")
    uids = (study_uid, shared.series.set["uid"], instance.set["uid"])
    expected = (entry.study_instance_uid, entry.series_instance_uid, entry.sop_instance_uid)
    if uids == expected:
        return []
    return [
        scope.rows[0].tags[0].invalid("differs from the change feed entry's")
        for scope, uid, of_entry in zip((_STUDY, _SERIES, _INSTANCE), uids, expected, strict=True)
        if uid != of_entry
    ]

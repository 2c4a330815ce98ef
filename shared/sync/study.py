"""One study of a batch: map its entries, merge them with what FHIR holds, send one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import ConflictError, EntryError, FhirRefusedError, InvalidDicomTagError
from shared.mapping.converters import MappingOptions, urn
from shared.mapping.merge import merge_endpoint, merge_patient
from shared.mapping.merge_study import RemovedInstance, is_ours, merge_study
from shared.mapping.resources import MappedInstance, StudyMapper, map_endpoint
from shared.mapping.transaction import Create, Delete, Update, Write, transaction_bundle
from shared.model import Action, ChangeFeedEntry, ErrorTable, FailedEntry, Resource, State
from shared.sync.lookup import Lookup
from shared.sync.ports import FhirServer, Lease

MAX_CONFLICTS = 5
"""How often a study is read and merged again because somebody else wrote first, before it waits for the next tick."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """Whether FHIR was written to, and what is to be recorded."""

    wrote: bool
    failures: tuple[FailedEntry, ...] = ()


Change = MappedInstance | RemovedInstance


class StudySync:
    """Syncs studies one after another; remembers the Endpoint, which they share."""

    def __init__(self, fhir: FhirServer, lease: Lease, options: MappingOptions) -> None:
        self._fhir = fhir
        self._lease = lease
        self._options = options
        self._lookup = Lookup(fhir)
        self._endpoint = map_endpoint(options)
        self._endpoint_id: str | None = None

    def run(self, entries: Sequence[ChangeFeedEntry]) -> StudyResult:
        """Raises TransientError, OutageError, LeaseLostError: then nothing of the study counts as done."""
        changes, failures = map_entries(entries, self._options)
        if not changes:
            return StudyResult(wrote=False, failures=tuple(failures))
        wrote, refused = self._write_what_is_taken(changes)
        return StudyResult(wrote, (*failures, *refused))

    def _write_what_is_taken(self, changes: Sequence[Change]) -> tuple[bool, list[FailedEntry]]:
        """Whether anything had to be written, and the entries to blame where the server refused a bundle.

        A refused bundle is halved until the entry to blame stands alone: twice the logarithm of the study's entries in
        bundles for one bad entry.
        """
        try:
            return self._write(changes), []
        except FhirRefusedError as error:
            if len(changes) == 1:
                return False, [failed(changes[0].entry, error)]
        except EntryError as error:
            return False, [failed(change.entry, error) for change in changes]
        half = len(changes) // 2
        halves = [self._write_what_is_taken(part) for part in (changes[:half], changes[half:])]
        return any(wrote for wrote, _ in halves), [failure for _, refused in halves for failure in refused]

    def _write(self, changes: Sequence[Change]) -> bool:
        """Whether anything had to be written."""
        for _ in range(MAX_CONFLICTS):
            try:
                if writes := self._merge(changes):
                    self._transact(writes)
            except ConflictError as error:
                self._endpoint_id = None
                conflict = error
            else:
                return bool(writes)
        raise conflict

    def _merge(self, changes: Sequence[Change]) -> list[Write]:
        """Reads what FHIR holds of the study and says what is to be written; in the order of the references."""
        uid = changes[0].entry.study_instance_uid
        study = self._lookup.study(uid)
        last = next((change for change in reversed(changes) if isinstance(change, MappedInstance)), None)
        links: dict[str, str] = {}
        writes: list[Write] = []
        if last is not None:
            writes += self._link_endpoint(links)
            writes += self._link_patient(last, links)
        merged = merge_study(study, changes, links, counted=self._options.extended)
        if merged is None:
            return writes
        if study is None:
            return [*writes, Create(urn("ImagingStudy", uid), merged, self._lookup.study_query(uid))]
        if not merged.get("series") and is_ours(merged, self._options.service_url):
            return [*writes, Delete(study)]
        return [*writes, Update(merged)]

    def _link_endpoint(self, links: dict[str, str]) -> list[Write]:
        name = urn("Endpoint", self._options.service_url)
        if self._endpoint_id is None:
            held = self._lookup.endpoint(self._endpoint)
            created = merge_endpoint(held, self._endpoint)
            if created is not None:
                return [Create(name, created, self._lookup.endpoint_query(self._endpoint))]
            assert held is not None
            self._endpoint_id = held["id"]
        links[name] = f"Endpoint/{self._endpoint_id}"
        return []

    def _link_patient(self, change: MappedInstance, links: dict[str, str]) -> list[Write]:
        identifier = change.patient.add["identifier"][0]
        name = change.study.set["subject"]["reference"]
        held = self._lookup.patient(identifier)
        merged = merge_patient(held, change.patient, self._options.patient_update_policy)
        if held is None:
            assert merged is not None
            return [Create(name, merged, self._lookup.patient_query(identifier))]
        links[name] = f"Patient/{held['id']}"
        return [Update(merged)] if merged is not None else []

    def _transact(self, writes: Sequence[Write]) -> None:
        # After FHIR was read, not before: what another host writes from here on, If-Match and ifNoneExist will tell.
        self._lease.ensure_held()
        answers = self._fhir.transact(transaction_bundle(writes))
        for write, answer in zip(writes, answers, strict=True):
            if isinstance(write, Create) and _status(answer) != "201":
                # 200: it existed after all, and what we sent was not written.
                raise ConflictError(f"a {write.resource['resourceType']} was created by somebody else meanwhile")


def _status(answer: Resource) -> str:
    return str(answer["response"]["status"]).split()[0]


def map_entries(entries: Sequence[ChangeFeedEntry], options: MappingOptions) -> tuple[list[Change], list[FailedEntry]]:
    """The changes that the entries make, one per instance, in the feed's order; and what is to be recorded.

    Metadata is always the instance's current one, so that of several entries of one instance only the last matters.
    A create whose instance is gone has nothing to map; a delete whose instance was stored again must not take it out.
    """
    last = {entry.sop_instance_uid: entry.sequence for entry in entries}
    mapper = StudyMapper(options)
    changes: list[Change] = []
    failures: list[FailedEntry] = []
    for entry in entries:
        if last[entry.sop_instance_uid] != entry.sequence:
            continue
        if entry.action is Action.DELETE:
            if entry.state is State.DELETED or entry.metadata is None:
                changes.append(RemovedInstance(entry))
        elif entry.state is not State.DELETED:
            try:
                change = mapper.map(entry)
            except InvalidDicomTagError as error:
                failures.append(failed(entry, error))
            else:
                changes.append(change)
                failures += [_left_out(entry, str(fault)) for fault in change.faults]
    return changes, failures


def failed(entry: ChangeFeedEntry, error: EntryError) -> FailedEntry:
    """The row that says why the entry was not synced."""
    return FailedEntry.of(entry, error.table, type(error).__name__, str(error))


def _left_out(entry: ChangeFeedEntry, fault: str) -> FailedEntry:
    return FailedEntry.of(entry, ErrorTable.INVALID_TAG, InvalidDicomTagError.__name__, fault)

"""The archive, the FHIR server, a host between them and others beside; what is checked once all has settled."""

from collections import defaultdict
from dataclasses import dataclass

from shared.errors import OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.sign import is_ours
from shared.model.failures import ErrorQuery, ErrorTable
from shared.model.options import PatientUpdatePolicy
from shared.model.outcome import Outcome
from shared.model.replay import SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.sync.batch import BatchOptions
from shared.sync.merge.patient_links import SEVERAL
from tests.model.archive import Archive, Clock
from tests.model.fhir import ModelFhir
from tests.model.hosts import Host
from tests.model.in_process import URL
from tests.model.oracle import Oracle, ViolatedError, check_observations, check_study, held_by, studies_of
from tests.model.patients import PatientWords
from tests.model.vocabulary import DEFAULT, STUDIES

CHECKS = frozenset({"I1", "I2", "I3", "I5", "birth date", "rows", "tags", "carried"})
FAILED = (ErrorTable.DICOM, ErrorTable.FHIR, ErrorTable.TRANSIENT_RETRY, ErrorTable.TRANSIENT_FAILURE)
MOST_TICKS = 80
BODY_PART, INVALID_PART = "00180015", repr([{"vr": "CS", "Value": ["head"]}])
"""BodyPartExamined in lower case, which CS has not."""
AGAIN = ("sequences", "older", "times", "studies", "first study", "rewind")


@dataclass(frozen=True)
class Setup:
    """`order` says which of several lanes goes on at each FHIR call; `settle`: seconds that a study has to settle."""

    version: str = "v1"
    policy: PatientUpdatePolicy = PatientUpdatePolicy.OVERWRITE
    use_issuer: bool = False
    lanes: int = 1
    order: tuple[int, ...] = (0,)
    settle: int = 0

    def __repr__(self):
        plain = Setup()
        given = {
            name: getattr(self, name)
            for name in ("version", "use_issuer", "settle", *(("lanes", "order") if self.lanes > 1 else ()))
            if getattr(self, name) != getattr(plain, name)
        }
        given |= {} if self.policy is plain.policy else {"policy": self.policy.value}
        return f"Setup({', '.join(f'{name}={value!r}' for name, value in given.items())})"


class World:
    """`checks` are those that are made."""

    def __init__(self, setup, checks=CHECKS):
        self.setup, self.checks = setup, checks
        self.mapping = MappingOptions(
            service_url=URL,
            use_issuer=setup.use_issuer,
            patient_update_policy=PatientUpdatePolicy(setup.policy),
            generate_observations=True,
        )
        self.clock = Clock()
        self.archive, self.fhir = Archive(self.clock), ModelFhir()
        self.words = PatientWords(self.mapping)
        self.read_through = 0
        options = BatchOptions(self.mapping, size=1000, total_retry_seconds=100, settle_seconds=setup.settle)
        self.host = Host(self.archive, self.fhir, setup, options, self._read, self.words.recalled)
        self.oracle = Oracle(self.mapping, self.host.ports.archive)
        self.on_studies = defaultdict(lambda: defaultdict(list))
        self.on_patients = {}
        self.unknown = set()
        self.is_rebuilt = False
        self.is_disturbed = False
        self.log = self.archive.log

    def close(self):
        self.archive.close()

    def _read(self, entries, is_replayed):
        self.words.read(entries, is_replayed)
        self.read_through = max([self.read_through, *(entry.sequence for entry in entries)])

    def changed(self):
        """After each change of the archive."""
        self.is_rebuilt = False
        self.words.note_held(held_by(self.archive))

    def tick(self, size=1000):
        """Its record, None where the host was killed in it."""
        held = {(place.partition, *place.uids) for place in self.archive.held}
        if self.host.is_new:
            self.words.host_begins(held)
        record = self.host.tick(size)
        result = record.result if record else None
        is_done = result is not None and record.error is None and record.outcome in (Outcome.SYNCED, Outcome.IDLE)
        self.host.is_new &= not is_done
        settling = {one.entry.sequence for one in self.host.ports.settling.entries}
        self.words.tick_ended(is_done, held, {_instance(row) for row in self._open(*FAILED)}, settling)
        if record is None or record.outcome is not Outcome.IDLE:
            self.log.append(f"tick of {size}: {_told(record)}")
        return record

    def settle(self):
        """All faults are mended, all that is due is done, what failed is replayed.

        So are the rows of invalid tags where a host may have fallen between FHIR and them: an update's former UIDs, which
        are then in FHIR no more, lead to no row.
        """
        self.fhir.sick.clear()
        self.fhir.refused.clear()
        self._settled()
        tables = (ErrorTable.DICOM, ErrorTable.FHIR, ErrorTable.TRANSIENT_FAILURE)
        tables += (ErrorTable.INVALID_TAG,) if self.is_disturbed else ()
        if self.host.errors.retries and "carried" in self.checks:
            raise ViolatedError("carried", f"{sorted(self.host.errors.retries)} are carried, and not tried again")
        if self._open(*tables):
            self.host.replay(StoredErrors(tables))
            self._settled()
        self.log.append("settled")

    def _settled(self):
        """Ticks until there is nothing left to do."""
        self.host.faults.armed = None
        for _ in range(MOST_TICKS):
            self.clock.sleep(65)  # what is young in the feed, and what rests, is due
            record = self.tick()
            is_idle = record is not None and record.outcome is Outcome.IDLE and record.result.held_by is None
            if is_idle and self.host.is_done:
                return
        raise ViolatedError("settles", f"not done: {self.host.journal.record}, {self.host.replays.under_way()}")

    def check(self):
        """Raises ViolatedError."""
        try:
            self._check_all()
        except ViolatedError as violated:
            if violated.rule in self.checks:
                raise
        except OutageError as error:
            raise AssertionError(str(error)) from error

    def _check_all(self):
        held = {key: [one for one in all_ if one.is_valid] for key, all_ in held_by(self.archive).items()}
        held = {self._key(key): instances for key, instances in held.items() if instances}
        studies = studies_of(self.fhir)
        for key, instances in held.items():
            if key not in studies:
                raise ViolatedError("I1", f"{key} is in the archive and not in FHIR")
            with told(f"study {key}"):
                check_study(self.oracle, self.fhir, studies[key], instances, self.on_studies.get(key, {}))
        self._check_ghosts(studies, held)
        check_observations(self.oracle, self.fhir, held)
        for reference, telecom in self.on_patients.items():
            if self.fhir.held(reference).get("telecom") != telecom:
                raise ViolatedError("I2", f"{reference}: another's telecom is gone")
        if "I5" in self.checks:
            self.words.check(self.fhir)
        if "rows" in self.checks:
            self._check_rows()
        if "tags" in self.checks:
            self._check_tags()

    def _key(self, key):
        partition, uid = key
        return ("urn:dicom:uid" if partition == DEFAULT else f"{URL}/partitions/{partition}"), uid

    def _check_ghosts(self, studies, held):
        for key, study in studies.items():
            if key in held or key in self.unknown:
                continue
            url = URL if key[0] == "urn:dicom:uid" else key[0]
            if not is_ours(study, url):
                continue
            if not self.on_studies.get(key):
                raise ViolatedError("I1", f"ImagingStudy {key} is in FHIR, and in no archive")
            if study["status"] != "cancelled" or study.get("series"):
                raise ViolatedError("I1", f"ImagingStudy {key} is not cancelled, and in no archive")
        for key, on in self.on_studies.items():
            if any(on.values()) and key not in studies:
                raise ViolatedError("I2", f"ImagingStudy {key} is deleted with what others put on it")

    def _check_rows(self):
        invalid = {one.key for all_ in held_by(self.archive).values() for one in all_ if not one.is_valid}
        for table in FAILED:
            rows = [_instance(row) for row in self._open(table)]
            wanted = invalid if table is ErrorTable.DICOM else set()
            if sorted(rows) != sorted(wanted):
                raise ViolatedError("rows", f"open in {table}: {rows}, wanted {sorted(wanted)}")

    def _check_tags(self):
        """A row says what is so: the tag of an instance that is held, or the patients of a study.

        Of a study that is several patients' there is one; where it is so no more, one may stay until all of it is read.
        """
        held = held_by(self.archive)
        told = {
            one.key for all_ in held.values() for one in all_ if one.is_valid and one.says([BODY_PART]) == INVALID_PART
        }
        several = {
            key
            for key, all_ in held.items()
            if len({self.words.identity(one.metadata) for one in all_ if one.is_valid}) > 1
        }
        rows = self._open(ErrorTable.INVALID_TAG)
        studies = {(row.partition, row.study_instance_uid) for row in rows if row.exception == SEVERAL}
        tags = {_instance(row) for row in rows if row.exception != SEVERAL}
        if tags - told:
            raise ViolatedError("tags", f"open for a tag that is not invalid: {sorted(tags - told)}")
        if several - studies:
            raise ViolatedError("tags", f"several patients, and no row: {sorted(several - studies)}")
        if self.is_rebuilt and studies - several:
            raise ViolatedError("tags", f"a row for several patients that are none: {sorted(studies - several)}")

    def _open(self, *tables):
        return [row for table in tables for row in self.host.errors.page(ErrorQuery(table), 1000)]

    def again(self, kind):
        """I3: what is true stays as it is, whatever is run again.

        A Patient may say what a deleted instance said last. The feed does not tell that again: where all of it is read
        anew, the last of the words that are left is taken, once.
        """
        if "I3" not in self.checks:
            return
        if self.fhir.is_touched:  # what others wrote may ask for a word of ours once: our Endpoint beside theirs
            self.fhir.is_touched = False
            self._run_again(kind)
            self._settled()
        self.fhir.writes.clear()
        if kind == "rewind":
            self._run_again(kind)
            self._settled()
            if [one for one in self.fhir.writes if not one.startswith("PUT Patient/")]:
                raise ViolatedError("I3", f"{kind}: wrote {self.fhir.writes}")
            self.fhir.writes.clear()
        self._run_again(kind)
        self._settled()
        self.is_rebuilt = kind == "studies"
        if self.fhir.writes:
            raise ViolatedError("I3", f"{kind} again: wrote {self.fhir.writes}")
        self.log.append(f"again: {kind}")

    def _run_again(self, kind):
        latest = max([row[0] for row in self.archive.changes()], default=0)
        if kind == "rewind":
            self.host.rewind()
        elif not latest:
            return
        elif kind == "sequences":
            self.host.replay(SequenceRange(1, latest))
        elif kind == "older":
            self.host.replay(SequenceRange(1, max(1, latest // 2)))
        elif kind == "times":
            self.host.replay(TimeRange("2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"))
        else:
            keys = list(held_by(self.archive))
            for partition, uid in keys[:1] if kind == "first study" else keys:
                self.host.replay(StudyRebuild(uid, partition))

    def study_key(self, study, partition):
        return self._key((partition, STUDIES[study]))


class told:  # noqa: N801 reads as a word
    """Says of which study a violation is."""

    def __init__(self, which):
        self._which = which

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _trace):
        if kind is ViolatedError:
            raise ViolatedError(error.rule, f"{self._which}: {str(error).partition(': ')[2]}") from None


def _instance(row):
    return row.partition, row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid


def _told(record):
    if record is None:
        return "killed"
    if record.result is None:
        return f"{record.outcome}, {record.error}"
    one = record.result
    return f"{record.outcome}, {one.entries} entries, {one.failed} failed, {one.carried} carried{f', {record.error}' if record.error else ''}"

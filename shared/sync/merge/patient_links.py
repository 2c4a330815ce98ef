"""The Patients of studies: found, created or updated, and linked; and what somebody has to look at about them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shared.mapping.mapping_options import MappingOptions
from shared.mapping.merge import Links, contains
from shared.mapping.merge_patient import merge_patient
from shared.mapping.patient_id import has_other
from shared.mapping.patients import several_patients
from shared.mapping.reconcile import InstanceKey, StudyRead
from shared.mapping.resources import MappedInstance
from shared.mapping.sign import named
from shared.mapping.transaction import Create, Update, Write, name_of, reference_of
from shared.model.failures import FailedEntry
from shared.model.fhir import Resource
from shared.sync.map.mapped_entries import Change, Changes, key_of
from shared.sync.merge.feed_order import FeedOrder
from shared.sync.merge.lookup import Search
from shared.sync.merge.patient_lookup import PatientLookup
from shared.sync.merge.patients import StudyPatient, patients_among, patients_of

MAX_PATIENTS = 10
"""Patients of one study that are looked up. A study of several patients is a danger, and gets a row that says so."""
DOUBLED, SEVERAL = "DoubledPatient", "SeveralPatients"
PATIENT_REMEDY = "the study is linked to one; move what links to the others, and delete them"


class PatientLinks:
    """The patients of one batch's studies. Threads may share it."""

    def __init__(self, lookup: PatientLookup, feed_order: FeedOrder, options: MappingOptions) -> None:
        self._lookup = lookup
        self._feed_order = feed_order
        self._options = options
        self._doubles: dict[str, Sequence[Resource]] = {}
        self._several: dict[str, str | None] = {}
        self._whole: dict[str, bool] = {}
        self._patients: dict[int, tuple[Changes, list[StudyPatient]]] = {}
        self._missing: set[tuple[str, InstanceKey]] = set()

    def of(self, wanted: Changes) -> list[StudyPatient]:
        """The patients that the changes name. It is called several times for a study, and cached until `ended`."""
        if id(wanted) not in self._patients:
            self._patients[id(wanted)] = wanted, patients_of(wanted, self._feed_order)
        return self._patients[id(wanted)][1]

    def searches(self, wanted: Changes) -> list[Search]:
        """The searches that `link` will make for these patients."""
        return [search for one in self.of(wanted) for search in self._lookup.searches(one.identifier)]

    def identifiers(self, wanted: Changes, links: Links) -> dict[str, list[Mapping[str, Any]]]:
        """By reference, of each Patient that `link` found or is to create: the identifiers that its PatientIDs make."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for one in self.of(wanted):
            found.setdefault(links.get(one.identity.name, one.identity.name), []).append(one.identifier)
        return found

    def ended(self, wanted: Changes) -> None:
        """The study is done; otherwise a batch of 20,000 studies would hold all that was mapped until its end."""
        self._patients.pop(id(wanted), None)

    def without(self, wanted: Changes, held: Changes) -> None:
        """The archive has only the instances of `held`: what the others state about patients does not count."""
        uid = wanted.study_instance_uid
        self._missing.update((uid, key) for key in wanted.keys - held.keys)

    def of_read(self, study_instance_uid: str, read: StudyRead, links: dict[str, str]) -> list[StudyPatient]:
        """The patients of the instances read who are not linked yet, at most MAX_PATIENTS of them."""
        self._several[study_instance_uid] = several_patients(read.instances)
        self._whole[study_instance_uid] = read.is_whole
        found = patients_among(read.instances, self._feed_order)
        return [patient for patient in found if patient.identity.name not in links][:MAX_PATIENTS]

    def link(self, patient: StudyPatient, study: Resource | None, links: dict[str, str]) -> list[Write]:
        """The write of the Patient, if any; adds the link to it.

        Of doubles that the app has made, the one that the study links to already is used, else the first by its id.
        """
        name = patient.identity.name
        patients = self._lookup.of(patient.identifier)
        self._doubles.pop(name, None)
        if patients[1:]:
            self._doubles[name] = patients
        subject = (study or {}).get("subject", {}).get("reference")
        linked = [one for one in patients if reference_of(one) == subject]
        held = next(iter([*linked, *patients]), None)
        links[name] = name if held is None else reference_of(held)
        return self._create(patient) if held is None else self._update(patient, held)

    def _create(self, patient: StudyPatient) -> list[Write]:
        created = merge_patient(None, patient.wanted, self._options.patient_update_policy)
        assert created is not None
        query = self._lookup.query(patient.identifier)
        # A condition would match a Patient who has it as another PatientID, and may be somebody else.
        condition = "" if self._lookup.is_an_others(patient.identifier) else query
        return [Create(patient.identity.name, created, condition, query)]

    def _update(self, patient: StudyPatient, held: Resource) -> list[Write]:
        identifier = self._lookup.identifier_of(held, patient.identifier)
        if identifier is None:  # a registry has merged another Patient into this one: what it says is theirs, and stays
            return []
        # The type is not needed to find an identifier again among those of the Patient.
        bare = {name: part for name, part in identifier.items() if name != "type"}
        wanted = patient.wanted
        others = [one for one in wanted.add["identifier"][1:] if not has_other(held, one)]
        wanted = replace(wanted, add={**wanted.add, "identifier": [bare, *others]})
        older = [
            name
            for name, position in patient.positions.items()
            if not self._feed_order.is_newest(patient.identity, name, position)
        ]
        merged = merge_patient(held, wanted, self._options.patient_update_policy, older)
        query = self._lookup.query(identifier)
        return [Update(merged, query)] if merged is not None else []

    def wrote(self, wanted: Changes, refused: Collection[FailedEntry]) -> None:
        """The changes are in FHIR, except the refused ones: what they state about patients is now the newest."""
        left_out = {failure.sequence for failure in refused if failure.is_final}
        changes = [change for change in self._not_missing(wanted) if change.entry.sequence not in left_out]
        for patient in self.of(wanted if len(changes) == len(wanted.changes) else replace(wanted, changes=changes)):
            for name, position in patient.positions.items():
                self._feed_order.wrote(patient.identity, name, position)

    def doubles(self, wanted: Changes) -> list[str]:
        """Messages about Patients of the study that two hosts of the app have both created."""
        names = [patient.identity.name for patient in self.of(wanted)]
        found = [named(self._doubles[name]) for name in names if name in self._doubles]
        return [f"{doubles} are doubles that the app has made: {PATIENT_REMEDY}" for doubles in found]

    def several_patients(self, wanted: Changes) -> str | None:
        """The message about a study whose instances, as far as they were read, are not all one patient's; else None."""
        mapped = [change for change in self._not_missing(wanted) if isinstance(change, MappedInstance)]
        return self._several.get(wanted.study_instance_uid) or several_patients(mapped)

    def untrue(self, wanted: Changes) -> set[str]:
        """Names of the exceptions that the sync has just checked for: older rows with them may be resolved."""
        checked = {DOUBLED} if self.of(wanted) else set()
        return checked | ({SEVERAL} if self._whole.get(wanted.study_instance_uid) else set())

    def _not_missing(self, wanted: Changes) -> Sequence[Change]:
        if not self._missing:
            return wanted.changes
        uid = wanted.study_instance_uid
        return [change for change in wanted.changes if (uid, key_of(change.entry)) not in self._missing]


def linked_to(writes: Sequence[Write], study: Resource | None) -> list[Write]:
    """The writes without Patients that nothing links to: a study of several patients has only one subject."""
    resources = [write.resource for write in writes] + ([study] if study else [])
    subjects = [one["subject"] for one in resources if isinstance(one.get("subject"), dict)]
    return [
        write
        for write in writes
        if write.resource["resourceType"] != "Patient"
        or any(contains(subject, {"reference": name_of(write)}) for subject in subjects)
    ]

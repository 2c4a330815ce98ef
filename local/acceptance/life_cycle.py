"""The life cycle: each step changes studies in DICOM, has the app sync, and checks what FHIR has."""

from collections.abc import Callable, Mapping

from local.acceptance.beside_others import BesideOthers
from local.acceptance.files import ct_with_dose_report, new_patient_id, real_studies, studies_of_one_patient
from local.acceptance.promises import BrokenError
from local.acceptance.scene import Scene

_NEW_DESCRIPTION = "Acceptance, described anew"
_NEW_FAMILY_NAME = "Acceptance"
_NEW_NAME = f"{_NEW_FAMILY_NAME}^Updated"

Steps = list[tuple[str, Callable[[], str]]]
"""For each step the promise, and a function that tries it: it returns what it found, or raises BrokenError."""


class LifeCycle:
    """The steps of one run. They must be run in order, since each needs what those before it made."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._archive = scene.archive
        self._expected = scene.expected
        self._ct = ct_with_dose_report(scene.ledger, scene.sizes)
        self._first, self._second = studies_of_one_patient(scene.ledger)

    @property
    def report_uid(self) -> str:
        """SOPInstanceUID of the dose report."""
        assert self._ct.report
        return self._ct.report

    def storing(self) -> Steps:
        """The first steps, which only store."""
        return [
            ("what DICOM holds is in FHIR", self._store),
            ("a dose report becomes Observations, one for each event and a summary", self._dose_report),
            ("two studies of one patient have one Patient", self._one_patient),
        ]

    def changing(self) -> Steps:
        """The steps after these, which update and delete, and the final checks."""
        return [
            ("an update of tags reaches FHIR", self._update_tags),
            ("an update of PatientID moves the study and its Observations", self._update_patient_id),
            ("a deleted instance is gone, and its Observations with it", self._delete_instances),
            ("a deleted series is gone", self._delete_series),
            ("a deleted study is gone", self._delete_study),
            ("what is stored again is there again", self._store_again),
            *BesideOthers(self._scene, self._first, self._second).steps(),
            ("in the end FHIR says what DICOM holds", self._expected.all_as_in_dicom),
            ("a replay of everything writes nothing", self._replay),
            ("nothing is there twice", self._expected.no_doubles),
            ("no entry is recorded as failed", self._expected.no_failures),
            ("only what the run made was written to", self._only_own),
        ]

    def _store(self) -> str:
        real = real_studies(self._scene.ledger, self._scene.sizes.real_studies)
        studies = [*real, self._ct, self._first, self._second]
        self._archive.store([file for study in studies for file in study.files])
        self._scene.sync()
        return f"{len(real)} of real files; {self._expected.all_as_in_dicom()}"

    def _dose_report(self) -> str:
        self._expected.observations(self.report_uid, self._scene.sizes.observations)
        return f"{self._scene.sizes.observations} Observations"

    def _one_patient(self) -> str:
        subjects = {self._expected.subject(study.uid) for study in (self._first, self._second)}
        if len(subjects) != 1:
            raise BrokenError("the two studies have different subjects")
        return "one subject"

    def _update_tags(self) -> str:
        self._archive.update(self._ct.uid, StudyDescription=_NEW_DESCRIPTION, PatientName=_NEW_NAME)
        self._scene.sync()
        study = self._expected.study(self._ct.uid)
        if _NEW_DESCRIPTION not in (study.get("description"), *(one.get("text") for one in study.get("note", []))):
            raise BrokenError("the ImagingStudy does not have the new StudyDescription")
        patient = self._scene.server.read(self._expected.subject(self._ct.uid)) or {}
        if _NEW_FAMILY_NAME not in [one.get("family") for one in patient.get("name", [])]:
            raise BrokenError("the Patient does not have the new PatientName")
        return "StudyDescription and PatientName"

    def _update_patient_id(self) -> str:
        before, patient_id = self._expected.subject(self._ct.uid), new_patient_id()
        self._scene.ledger.will_store(study=self._ct.uid, patient=patient_id)
        self._archive.update(self._ct.uid, PatientID=patient_id)
        self._scene.sync()
        after = self._expected.subject(self._ct.uid)
        self._expected.is_patient(after, patient_id)
        if after == before:
            raise BrokenError("the study has the same subject as before")
        self._dose_report()
        if self._expected.subjects_of_observations(self.report_uid) != {after}:
            raise BrokenError("the subject of the Observations is not the study's")
        return f"from {before} to {after}"

    def _delete_instances(self) -> str:
        self._dose_report()
        series, instance = _uids(self._archive.instances(self._first.uid)[0])
        self._archive.delete(f"{self._first.uid}/series/{series}/instances/{instance}")
        report = next(one for one in map(_uids, self._archive.instances(self._ct.uid)) if one[1] == self.report_uid)
        self._archive.delete(f"{self._ct.uid}/series/{report[0]}/instances/{report[1]}")
        self._scene.sync()
        self._expected.as_in_dicom(self._first.uid)
        self._expected.as_in_dicom(self._ct.uid)
        self._expected.observations(self.report_uid, 0)
        return f"an image, and a dose report with its {self._scene.sizes.observations} Observations"

    def _delete_series(self) -> str:
        series, _ = _uids(self._archive.instances(self._first.uid)[-1])
        self._archive.delete(f"{self._first.uid}/series/{series}")
        self._scene.sync()
        return f"left are {self._expected.as_in_dicom(self._first.uid)}"

    def _delete_study(self) -> str:
        self._archive.delete(self._second.uid)
        self._scene.sync()
        self._expected.no_study(self._second.uid)
        return "no ImagingStudy is found"

    def _store_again(self) -> str:
        self._archive.store([*self._second.files, self._ct.files[-1]])
        # The report's file has the values from before the updates, and the instances of a study must agree.
        values = {"PatientID": self._ct.patient_id, "PatientName": _NEW_NAME, "StudyDescription": _NEW_DESCRIPTION}
        self._archive.update(self._ct.uid, **values)
        self._scene.sync()
        self._expected.as_in_dicom(self._ct.uid)
        return f"a study of {self._expected.as_in_dicom(self._second.uid)}, a dose report of {self._dose_report()}"

    def _replay(self) -> str:
        writes = self._scene.traffic.writes
        before = len(writes)
        done, failed = self._scene.host.replay_all()
        if failed:
            raise BrokenError(f"{failed} of {done} entries failed")
        if sent := len(writes) - before:
            raise BrokenError(f"{sent} writes were sent for {done} entries that FHIR holds already")
        return f"{done} entries, no write"

    def _only_own(self) -> str:
        self._expected.note_what_is_there()
        touched = self._scene.traffic.touched
        if strange := [one for one in touched if one not in self._scene.ledger.made]:
            raise BrokenError(f"written to, and not of the run: {', '.join(strange)}")
        return f"{len(touched)} resources were updated or deleted, all of the run's"


def _uids(instance: Mapping[str, Mapping[str, list[str]]]) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID."""
    return instance["0020000E"]["Value"][0], instance["00080018"]["Value"][0]

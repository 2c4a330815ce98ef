"""The life cycle: what happens to studies in DICOM, the app that follows, and what FHIR must say after each step."""

import threading
import time
from collections.abc import Callable, Mapping

from local.acceptance.archive import Archive
from local.acceptance.expected import Expected
from local.acceptance.files import (
    WHOLE,
    Sizes,
    ct_with_dose_report,
    new_patient_id,
    real_studies,
    small_study,
    studies_of_one_patient,
)
from local.acceptance.host import CATCH_UP_SECONDS, Host, NotSyncedError, is_caught_up
from local.acceptance.ledger import Ledger
from local.acceptance.other_writer import OtherWriter
from local.acceptance.promises import BrokenError
from local.acceptance.server import FhirServer
from local.acceptance.traffic import Traffic
from shared.outcome import Outcome

_NEW_DESCRIPTION = "Acceptance, described anew"
_NEW_FAMILY_NAME = "Acceptance"
_NEW_NAME = f"{_NEW_FAMILY_NAME}^Updated"


class LifeCycle:
    """One run. Steps are in order: each rests on what those before it made."""

    def __init__(
        self,
        settings: Mapping[str, str],
        archive: Archive,
        server: FhirServer,
        ledger: Ledger,
        traffic: Traffic,
        sizes: Sizes = WHOLE,
    ) -> None:
        self._settings = settings
        self._archive = archive
        self._server = server
        self._ledger = ledger
        self.traffic = traffic
        self._sizes = sizes
        self._host = Host(settings, traffic)
        self._expected = Expected(settings, archive, server, ledger)
        self._writer = OtherWriter(server, ledger)
        self._ct = ct_with_dose_report(ledger, sizes)
        self._first, self._second = studies_of_one_patient(ledger)

    @property
    def report_uid(self) -> str:
        """SOPInstanceUID of the dose report."""
        assert self._ct.report
        return self._ct.report

    @property
    def _observations(self) -> int:
        """How many its dose report becomes."""
        return self._sizes.dose_events + 1

    def storing(self) -> list[tuple[str, Callable[[], str]]]:
        """The first steps: what they make stays for a while."""
        return [
            ("what DICOM holds is in FHIR", self._store),
            ("a dose report becomes Observations, one for each event and a summary", self._dose_report),
            ("two studies of one patient have one Patient", self._one_patient),
        ]

    def changing(self) -> list[tuple[str, Callable[[], str]]]:
        """What comes after."""
        return [
            ("an update of tags reaches FHIR", self._update_tags),
            ("an update of PatientID moves the study and its Observations", self._update_patient_id),
            ("a deleted instance is gone, and its Observations with it", self._delete_instances),
            ("a deleted series is gone", self._delete_series),
            ("a deleted study is gone", self._delete_study),
            ("what is stored again is there again", self._store_again),
            ("what another system wrote before is kept", self._other_writer_before),
            ("what another system writes between the app's read and its write is kept", self._other_writer_between),
            ("what another system writes before a delete is kept", self._other_writer_before_delete),
            ("two hosts at once do the work of one", self._two_hosts),
            ("in the end FHIR says what DICOM holds", self._expected.all_as_in_dicom),
            ("a replay of everything writes nothing", self._replay),
            ("nothing is there twice", self._expected.no_doubles),
            ("no entry is recorded as failed", self._expected.no_failures),
            ("only what the run made was written to", self._only_own),
        ]

    def _store(self) -> str:
        real = real_studies(self._ledger, self._sizes.real_studies)
        studies = [*real, self._ct, self._first, self._second]
        self._archive.store([file for study in studies for file in study.files])
        self._host.catch_up()
        return f"{len(real)} studies of real files, {self._expected.all_as_in_dicom()}"

    def _dose_report(self) -> str:
        self._expected.observations(self.report_uid, self._observations)
        return f"{self._observations} Observations"

    def _one_patient(self) -> str:
        subjects = {self._expected.subject(study.uid) for study in (self._first, self._second)}
        if len(subjects) != 1:
            raise BrokenError("the two studies have different subjects")
        return "one subject"

    def _update_tags(self) -> str:
        self._archive.update(self._ct.uid, StudyDescription=_NEW_DESCRIPTION, PatientName=_NEW_NAME)
        self._host.catch_up()
        study = self._expected.study(self._ct.uid)
        if _NEW_DESCRIPTION not in (study.get("description"), *(one.get("text") for one in study.get("note", []))):
            raise BrokenError("the ImagingStudy does not have the new StudyDescription")
        patient = self._server.read(self._expected.subject(self._ct.uid)) or {}
        if _NEW_FAMILY_NAME not in [one.get("family") for one in patient.get("name", [])]:
            raise BrokenError("the Patient does not have the new PatientName")
        return "StudyDescription and PatientName"

    def _update_patient_id(self) -> str:
        before, patient_id = self._expected.subject(self._ct.uid), new_patient_id()
        self._ledger.will_store(study=self._ct.uid, patient=patient_id)
        self._archive.update(self._ct.uid, PatientID=patient_id)
        self._host.catch_up()
        after = self._expected.subject(self._ct.uid)
        self._expected.is_patient(after, patient_id)
        if after == before:
            raise BrokenError("the study has the same subject as before")
        subjects = self._expected.subjects_of_observations(self.report_uid)
        if subjects != {after}:
            raise BrokenError(f"of the Observations {len(subjects - {after})} subjects are not the study's")
        return f"from {before} to {after}"

    def _delete_instances(self) -> str:
        metadata = self._archive.instances(self._first.uid)
        series, instance = _uids(metadata[0])
        self._archive.delete(f"{self._first.uid}/series/{series}/instances/{instance}")
        report = next(one for one in map(_uids, self._archive.instances(self._ct.uid)) if one[1] == self.report_uid)
        self._archive.delete(f"{self._ct.uid}/series/{report[0]}/instances/{report[1]}")
        self._host.catch_up()
        self._expected.as_in_dicom(self._first.uid)
        self._expected.as_in_dicom(self._ct.uid)
        self._expected.observations(self.report_uid, 0)
        return f"an image, and a dose report with its {self._observations} Observations"

    def _delete_series(self) -> str:
        series, _ = _uids(self._archive.instances(self._first.uid)[-1])
        self._archive.delete(f"{self._first.uid}/series/{series}")
        self._host.catch_up()
        return self._expected.as_in_dicom(self._first.uid)

    def _delete_study(self) -> str:
        self._archive.delete(self._second.uid)
        self._host.catch_up()
        self._expected.no_study(self._second.uid)
        return "no ImagingStudy is found"

    def _store_again(self) -> str:
        assert self._ct.report
        self._archive.store([*self._second.files, self._ct.files[-1]])
        # The report's file says what it said before the updates, and a study must agree with itself.
        said_again = {"PatientID": self._ct.patient_id, "PatientName": _NEW_NAME, "StudyDescription": _NEW_DESCRIPTION}
        self._archive.update(self._ct.uid, **said_again)
        self._host.catch_up()
        self._expected.observations(self.report_uid, self._observations)
        return self._expected.as_in_dicom(self._second.uid)

    def _other_writer_before(self) -> str:
        reference = self._expected.reference(self._first.uid)
        self._writer.write(reference)
        self._archive.update(self._first.uid, StudyDescription=f"{_NEW_DESCRIPTION}, once")
        self._host.catch_up()
        self._writer.check(reference)
        return "identifier, note and extension, through an update of the study"

    def _other_writer_between(self) -> str:
        """The host is a new one: what it has not read, it must read before it writes."""
        reference = self._expected.reference(self._first.uid)
        self._host = Host(self._settings, self.traffic)
        self._write_between(self._first.uid, reference)
        self._archive.update(self._first.uid, StudyDescription=f"{_NEW_DESCRIPTION}, twice")
        self._host.catch_up()
        self._came_between()
        self._writer.check(reference)
        self._expected.as_in_dicom(self._first.uid)
        return "identifier, note and extension, and the app's update as well"

    def _other_writer_before_delete(self) -> str:
        """The study is gone in DICOM, yet another system wrote to it after the app had read it."""
        reference = self._expected.reference(self._second.uid)
        self._host = Host(self._settings, self.traffic)
        self._write_between(self._second.uid, reference)
        self._archive.delete(self._second.uid)
        self._host.catch_up()
        self._came_between()
        self._writer.check(reference)
        self._archive.store(self._second.files)
        self._host.catch_up()
        self._writer.check(reference)
        self._expected.as_in_dicom(self._second.uid)
        return "the resource stayed, and holds the study that was stored again"

    def _two_hosts(self) -> str:
        studies = [small_study(self._ledger) for _ in range(self._sizes.studies_for_two_hosts)]
        hosts = [Host(self._settings, self.traffic) for _ in range(2)]
        for some in (studies[: len(studies) // 2], studies[len(studies) // 2 :]):
            self._archive.store([file for study in some for file in study.files])
            threads = [threading.Thread(target=_tick_until_caught_up, args=(host,)) for host in hosts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        records = [record for host in hosts for record in host.ticks]
        if not is_caught_up(hosts[0].tick()):
            raise NotSyncedError("two hosts do not catch up with the change feed")
        for study in studies:
            self._expected.as_in_dicom(study.uid)
        waited = sum(record.outcome is Outcome.LEASE_HELD for record in records)
        return f"{len(studies)} studies in {len(records)} ticks, {waited} of which found the other at work"

    def _replay(self) -> str:
        before = len(self.traffic.writes)
        done, failed = self._host.replay_all()
        sent = len(self.traffic.writes) - before
        if failed:
            raise BrokenError(f"{failed} of {done} entries failed")
        if sent:
            raise BrokenError(f"{sent} writes were sent for {done} entries that FHIR holds already")
        return f"{done} entries, no write"

    def _only_own(self) -> str:
        self._expected.note_what_is_there()
        strange = [one for one in self.traffic.touched if one not in self._ledger.made]
        if strange:
            raise BrokenError(f"written to, and not of the run: {', '.join(strange)}")
        return f"{len(self.traffic.touched)} resources were updated or deleted, all of the run's"

    def _write_between(self, study: str, reference: str) -> None:
        self.traffic.between(f"urn:oid:{study}", lambda: self._writer.write(reference))

    def _came_between(self) -> None:
        if not self.traffic.came_between:
            raise BrokenError("the app did not read the study before it wrote, so nobody could come between")


def _tick_until_caught_up(host: Host) -> None:
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while not is_caught_up(host.tick()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _uids(instance: Mapping[str, Mapping[str, list[str]]]) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID."""
    return instance["0020000E"]["Value"][0], instance["00080018"]["Value"][0]

"""The page of one study: both sides, and a rebuild run dry; nothing is written, and the log has the UID alone."""

import json
import logging
from dataclasses import replace

import pytest

from shared.errors import FeedError, OutageError
from shared.mapping.mapping_options import MappingOptions
from shared.mapping.side_by_side import Mark
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.options import PatientUpdatePolicy
from shared.model.replay import ReplayRequest, StudyRebuild
from shared.sync.batch import BatchOptions
from shared.sync.replay.replay import run_replays
from shared.sync.status import study_page
from shared.sync.status.study_page import StudyPage
from tests.fakes import STUDY, FakeArchive, FakeFhir, FakeLease, entry, ports

OPTIONS = MappingOptions("https://dicom.example.org")
ENTRIES = [
    entry(n, instance=f"1.2.3.4.{n}", t00081030="Chest", t00080050="A-7", t00100010={"vr": "PN", "Value": [{"Alphabetic": "Doe^Ann"}]})
    for n in (1, 2, 3)
]  # fmt: skip


class World:
    """A study that DICOM holds and FHIR says, unless a test tampers with either."""

    def __init__(self, entries=ENTRIES, **others):
        self.archive = FakeArchive({STUDY: list(entries)})
        self.ports = ports(entries, archive=self.archive, **others)
        self.page = StudyPage(replace(self.ports, lease=FakeLease(checks=0)), OPTIONS, "https://fhir.example.org")
        if entries and not others:
            self.rebuilt()

    def rebuilt(self, *, patients=False):
        """As the button does it."""
        self.ports.replays.create(ReplayRequest(StudyRebuild(STUDY), patients=patients))
        run_replays(self.ports, BatchOptions(OPTIONS, size=100), self.ports.now().replace(year=2099))

    def held(self, resource_type):
        return next(one for one in self.ports.fhir.resources if one["resourceType"] == resource_type)

    def study(self):
        return self.held("ImagingStudy")

    def view(self, **asked):
        return self.page.view(STUDY, **asked)

    def marks(self, mark=Mark.DIFFERS, **asked):
        view = self.view(**asked)
        return {one.name for one in view.lines if one.mark is mark} | {
            one.series_instance_uid for one in view.series if one.mark is mark
        }

    def changed(self, **asked):
        return [(change.url, one.path) for change in self.view(**asked).changes for one in change.elements]


def test_what_fhir_says_is_the_same_on_both_sides():
    """No change, no difference, and the resources to look at."""
    view = World().view()
    assert (view.in_dicom, view.in_fhir, view.faults, view.failures) == (True, True, [], [])
    assert view.changes == []
    assert {one.mark for one in (*view.lines, *view.series)} == {Mark.SAME}
    assert [(one.reference, one.url) for one in view.resources] == [
        ("ImagingStudy/1", "https://fhir.example.org/ImagingStudy/1"),
        ("Patient/1", "https://fhir.example.org/Patient/1"),
    ]


def stranger(world):
    world.ports.fhir.resources.append(
        {"resourceType": "Patient", "id": "9", "identifier": [{"value": "P-9"}], "meta": {"versionId": "1"}}
    )
    world.study()["subject"] = {"reference": "Patient/9"}


def series_of(world):
    return world.study()["series"][0]


PLANTED = [
    # what is done to FHIR, the lines that differ, the elements that a rebuild changes
    ("series missing", lambda it: it.study().update(series=[], numberOfSeries=0, numberOfInstances=0), {"1.2.3.4", "Series", "Instances"}, {"series.where(uid = '1.2.3.4')", "numberOfSeries", "numberOfInstances"}),
    ("wrong count", lambda it: it.study().update(numberOfInstances=7), {"Instances"}, {"numberOfInstances"}),
    ("instance missing", lambda it: series_of(it)["instance"].pop(), {"1.2.3.4"}, {"series.where(uid = '1.2.3.4').instance.where(uid = '1.2.3.4.3')"}),
    ("wrong description", lambda it: it.study().update(description="Knee"), {"StudyDescription"}, {"description"}),
    ("wrong modality of a series", lambda it: series_of(it).update(modality={"code": "MR"}), {"1.2.3.4"}, {"series.where(uid = '1.2.3.4').modality.code", "series.where(uid = '1.2.3.4').modality.system"}),
    ("wrong patient link", stranger, {"PatientID", "PatientName"}, {"subject.reference"}),
    ("no accession number", lambda it: it.study().update(identifier=it.study()["identifier"][:1]), {"AccessionNumber"}, {"identifier"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plant", "marks", "paths"), PLANTED, ids=[row[0] for row in PLANTED])
def test_what_differs_is_what_the_rebuild_changes(name, plant, marks, paths):
    """Each with what it was; once rebuilt, nothing differs any more."""
    world = World()
    plant(world)
    before = json.dumps(world.ports.fhir.resources)
    assert world.marks() == marks
    assert {path for url, path in world.changed() if url == "ImagingStudy/1"} == paths
    assert json.dumps(world.ports.fhir.resources) == before
    world.rebuilt()
    assert (world.marks(), world.changed()) == (set(), [])


def test_before_and_after_are_told():
    """Both, as FHIR has them."""
    world = World()
    world.study()["description"] = "Knee"
    ((change,),) = [one.elements for one in world.view().changes]
    assert (change.path, change.before, change.after) == ("description", "Knee", "Chest")


def test_a_study_that_fhir_does_not_have():
    """All of it would be made."""
    world = World(fhir=FakeFhir())
    view = world.view()
    assert (view.in_dicom, view.in_fhir, view.resources) == (True, False, [])
    assert [(one.method, one.url) for one in view.changes] == [
        ("POST", "Endpoint"),
        ("POST", "Patient"),
        ("POST", "ImagingStudy"),
    ]
    assert {"PatientID", "PatientName", "StudyDescription", "1.2.3.4"} <= world.marks()
    assert world.ports.fhir.resources == []


def test_a_study_that_dicom_does_not_have():
    """All of it would be deleted."""
    world = World()
    world.archive.studies.clear()
    view = world.view()
    assert (view.in_dicom, view.in_fhir) == (False, True)
    assert [(one.method, one.url, one.elements) for one in view.changes] == [("DELETE", "ImagingStudy/1", ())]
    assert {"PatientID", "StudyDescription", "1.2.3.4"} <= world.marks()


def test_a_study_that_neither_has():
    """Is told of as that."""
    view = World(entries=()).view()
    assert (view.in_dicom, view.in_fhir, view.changes, view.faults) == (False, False, [], [])


def test_another_partition_is_another_study():
    """Neither its resources nor its rows are shown."""
    world = World()
    world.ports.errors.record([FailedEntry.of(ENTRIES[0], ErrorTable.FHIR, "FhirRefusedError", "status 422")])
    view = world.view(partition="north")
    assert (view.in_dicom, view.in_fhir, view.errors) == (False, False, [])


def test_a_patient_is_filled_unless_its_rebuild_is_asked_for():
    """As a replay does: `patients` overwrites what another word has set; without it the line is left."""
    world = World()
    world.held("Patient")["name"] = [{"use": "usual", "family": "Roe"}]
    assert world.changed() == []
    assert world.marks(Mark.LEFT) == {"PatientName"}
    assert [url for url, _ in world.changed(patients=True)] == ["Patient/1"]
    assert world.marks(patients=True) == {"PatientName"}
    world.page = StudyPage(world.ports, replace(OPTIONS, patient_update_policy=PatientUpdatePolicy.NEVER), "")
    assert world.changed(patients=True) == []


def test_open_rows_are_shown():
    """Those of the study, the newest first."""
    world = World()
    for number in (1, 2):
        one = replace(ENTRIES[number], sequence=number)
        world.ports.errors.record([FailedEntry.of(one, ErrorTable.FHIR, "FhirRefusedError", f"status {number}")])
    assert [row.message for row in world.view().errors] == ["status 2", "status 1"]


def test_what_cannot_be_mapped_is_told():
    """By tag; its instance is counted on DICOM's side, and nothing differs because of it."""
    world = World()
    world.archive.studies[STUDY].append(entry(4, instance="1.2.3.4.4", t00100020=None))
    view = world.view()
    assert view.changes == []
    assert "PatientID" in view.failures[0]
    assert [(one.dicom.instances, one.fhir.instances, one.mark) for one in view.series] == [(4, 3, Mark.LEFT)]


def test_two_patients_of_one_identity_are_a_failure():
    """Nothing would be written."""
    world = World()
    world.ports.fhir.resources.append({"resourceType": "Patient", "id": "8", "identifier": [{"value": "P-1"}], "meta": {"versionId": "1"}})  # fmt: skip
    view = world.view()
    assert view.changes == []
    assert "several resources have the same identity" in view.failures[0]


class Down:
    """A system that does not answer."""

    def __getattr__(self, name):
        def ask(*_, **__):
            raise OutageError("FHIR server", "it does not answer")

        return ask


def test_fhir_is_down():
    """What DICOM holds is shown, and of differences nothing is said."""
    view = World(fhir=Down()).view()
    assert (view.in_dicom, view.in_fhir, view.changes) == (True, None, None)
    assert view.faults == ["FHIR server: it does not answer"]
    assert {one.mark for one in view.series} == {Mark.UNKNOWN}


def test_dicom_is_down():
    """What FHIR holds is shown."""
    world = World()

    def fails(*_):
        raise FeedError("status 500")

    world.archive.instances = fails
    view = world.view()
    assert (view.in_dicom, view.in_fhir, view.changes, view.faults) == (None, True, None, ["status 500"])
    assert next(one.fhir for one in view.lines if one.name == "PatientID") == ("P-1",)


def test_storage_is_down():
    """All but the rows is shown."""
    world = World()
    world.page = StudyPage(replace(world.ports, errors=Down()), OPTIONS, "")
    view = world.view()
    assert (view.changes, view.errors, len(view.faults)) == ([], [], 1)


def test_a_study_that_is_too_large_to_wait_for(monkeypatch):
    """Is not compared: the page would hold all of it in memory."""
    monkeypatch.setattr(study_page, "MOST_INSTANCES", 2)
    view = World().view()
    assert (view.in_dicom, view.changes) == (None, None)
    assert "more than 2 instances" in view.faults[0]


def test_what_nobody_foresaw_is_told(caplog):
    """By its class: its text may have a patient's value in it."""
    world = World()

    def falls(*_):
        raise RuntimeError("Doe^Ann")

    world.archive.instances = falls
    assert "RuntimeError" in world.view().faults[0]
    assert "Doe" not in caplog.text


def test_one_line_in_the_log(caplog):
    """With the StudyInstanceUID, and no other value."""
    world = World()
    world.study()["description"] = "Knee"
    caplog.clear()
    with caplog.at_level(logging.INFO):
        world.view()
    assert [one.getMessage() for one in caplog.records] == [f'study viewed {{"StudyInstanceUID":"{STUDY}"}}']

"""Searches that do not see yet what was just written: our own writes are not taken for missing, others' are not lost."""

import pytest

from tests.integration.manners import manners as m
from tests.integration.manners.world import writes

pytestmark = pytest.mark.timeout(60)

SERVERS = [
    # name, the manner
    ("consistent in the end", lambda: m.Lagging(5)),
    ("cached", m.Cached),
]
each_server = pytest.mark.parametrize(("name", "make"), SERVERS, ids=[row[0] for row in SERVERS])


@each_server
@pytest.mark.parametrize("ticks_between", [0, 1])
def test_a_second_study_straight_after_the_first(mannered, name, make, ticks_between):
    """Of the same patient, in the same tick or the next: one Patient, one Endpoint, one ImagingStudy each."""
    world = mannered(make())
    world.store_study(0, "a", instances=1)
    for _ in range(ticks_between):
        world.tick()
    world.store_study(1, "a", instances=1)
    world.tick()
    world.store_one(0, 7, PatientID=world.patient("a"))
    world.store_study(2, "a", instances=1)
    world.drain()
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=3)


@each_server
def test_many_studies_of_one_patient_at_once(mannered, name, make):
    """In a first tick: one Patient, whatever lanes there are."""
    world = mannered(make())
    files = [world.file(study, 1, PatientID=world.patient("a")) for study in range(20)]
    assert world.dicom.store(*files).status_code == 200
    world.drain()
    assert len(world.patients("a")) == 1
    assert len(world.held()["Endpoint"]) == 1
    assert [len(world.studies(number)) for number in range(20)] == [1] * 20
    assert world.all_differences() == []
    assert world.open_rows() == []


@each_server
def test_another_writer_whom_searches_do_not_show(mannered, name, make):
    """The conflict tells of him, a read by id shows what he wrote: kept, and ours is there within the tick's patience."""
    world = mannered(make())
    world.store_study(0, "a")
    world.drain()
    came_between = world.once_before(
        lambda request: writes(request, "ImagingStudy", "PUT"),
        lambda: world.edit(world.imaging_study(0), note=[{"text": "seen by the tumour board"}]),
    )
    world.store_one(0, 7, PatientID=world.patient("a"))
    world.drain()
    assert came_between
    assert world.imaging_study(0)["note"] == [{"text": "seen by the tumour board"}]
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1)


@each_server
def test_deleted_and_stored_again_straight_after(mannered, name, make):
    """What is gone is not written to, whatever a search says; the study is there once."""
    world = mannered(make())
    world.store_study(0, "a")
    world.tick()
    world.delete(world.study(0))
    world.tick()
    world.store_study(0, "a")
    world.drain()
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1)

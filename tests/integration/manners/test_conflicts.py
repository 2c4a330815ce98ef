"""Conflicts of every code: what others write is kept, what is refused is told, and a lost race is run again."""

import re

import pytest
import requests

from local.fhir_account import search
from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS, writes

pytestmark = pytest.mark.timeout(120)

NOTE = [{"text": "seen by the tumour board"}]

CHECKED = [
    # name, the manners of a server that is sound
    ("the server's own", ()),
    ("ifMatch on DELETE is honoured", (m.if_match_on_delete,)),
    ("a PUT of an unknown id creates", (m.put_creates, m.StaleAnswered(409))),
    ("a PUT of what was deleted makes it again", (m.deleted_is_made_again,)),
    ("a stale ifMatch is 409", (m.StaleAnswered(409),)),
    ("searches lag behind", (m.Lagging(5),)),
    ("searches are cached", (m.Cached(),)),
    ("searches without meta", (m.searches_without_meta,)),
    ("neither location nor etag", (m.no_location_nor_etag,)),
    ("ids change case", (m.ids_change_case,)),
    ("ifNoneExist by identifier alone", (m.identifiers_alone_if_none_exist,)),
    ("ifNoneExist may not begin with a modifier", (m.no_modifier_first_if_none_exist,)),
    ("conditional create without a lock", (m.Racy(),)),
    ("meta.source is dropped", (m.source_dropped,)),
]


@pytest.mark.parametrize(("name", "manners"), CHECKED, ids=[row[0] for row in CHECKED])
def test_the_self_check_of_a_sound_server(mannered, name, manners):
    """No step of the FHIR server fails, and no Endpoint is left behind."""
    world = mannered(*manners)
    world.store_study(0, "a")
    before = {one["id"] for one in search(world.fhir_url, "Endpoint")}
    steps = [step for step in world.app.check().steps if step.name.startswith("FHIR server")]
    assert [(step.name, step.message) for step in steps if step.state.value not in ("ok", "skipped")] == []
    assert {one["id"] for one in search(world.fhir_url, "Endpoint")} == before


def test_the_self_check_tells_whether_what_was_deleted_comes_back(mannered):
    """A server that deletes softly may take an update of it, in a transaction, for a create (Azure, HAPI)."""
    for manners, said in (((), "is refused \\(4\\d\\d\\)"), ((m.deleted_is_made_again,), "makes it again")):
        steps = {step.name: step.message for step in mannered(*manners).app.check().steps}
        assert re.search(f"an update of what was deleted {said}", steps["FHIR server: writes are allowed"])
        assert re.search("update of what was deleted: (refused|makes)", steps["FHIR server: what it is like"])


BETWEEN = [
    # name, the manners
    ("ifMatch on DELETE is ignored", ()),
    ("ifMatch on DELETE is honoured", (m.if_match_on_delete,)),
    ("a stale ifMatch is 409, on DELETE ignored", (m.StaleAnswered(409),)),
    ("a stale ifMatch is 409, on DELETE too", (m.StaleAnswered(409), m.if_match_on_delete)),
    ("a stale ifMatch is 500", (m.StaleAnswered(500),)),
    ("searches without meta", (m.searches_without_meta,)),
]


@pytest.mark.parametrize("resource_type", ["ImagingStudy", "Observation"])
@pytest.mark.parametrize(("name", "manners"), BETWEEN, ids=[row[0] for row in BETWEEN])
def test_a_write_between_read_and_delete(mannered, name, manners, resource_type):
    """What another system made of the resource is still there, without what we say no more."""
    world = mannered(*manners)
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    resource = world.held()[resource_type][-1]
    came_between = world.once_before(
        lambda request: writes(request, f"{resource_type}/{resource['id']}", "PUT", "DELETE", "PATCH"),
        lambda: world.edit(resource, note=NOTE),
    )
    world.delete(world.study(0))
    world.drain()
    assert came_between
    kept = requests.get(f"{world.fhir_url}/{resource_type}/{resource['id']}", timeout=30)
    assert kept.status_code == 200
    assert kept.json()["note"] == NOTE
    assert kept.json()["status"] == ("cancelled" if resource_type == "ImagingStudy" else "entered-in-error")
    assert "series" not in kept.json()
    assert [row for row in world.final() if row[0] == "TransientFailureExceptionTable"] == []


@pytest.mark.parametrize("is_together", [False, True])
def test_a_delete_that_another_resource_forbids(mannered, is_together):
    """409 for ever: the study is cancelled and empty, a row says who holds it; stored again it is alive again.

    With other studies in the transaction or alone.
    """
    linked = m.LinkedTo("DiagnosticReport/2")
    world = mannered(linked)
    world.store_study(0, "a")
    world.store_study(2, "b")
    world.drain()
    world.delete(world.study(0))
    if is_together:
        world.store_one(2, 7, PatientID=world.patient("b"))
    world.drain()
    study = world.imaging_study(0)
    assert study["status"] == "cancelled"
    assert "series" not in study
    (row,) = world.open_rows()
    assert row["InstanceUid"].startswith(world.study(0))
    assert "DiagnosticReport/2" in row["Exception"]
    assert {table for table, _, _ in world.final()} == {"FhirFailToStoreExceptionTable"}
    assert len(world.imaging_study(2)["series"][0]["instance"]) == 2 + is_together

    world.store_study(0, "a")
    world.drain()
    study = world.imaging_study(0)
    assert study["status"] == "available"
    assert [len(one["instance"]) for one in study["series"]] == [2]
    assert world.all_differences() == []


def test_a_delete_that_another_resource_forbids_no_more(mannered):
    """The study was cancelled; once nobody holds it, it is stored and deleted again, and is gone."""
    linked = m.LinkedTo()
    world = mannered(linked)
    world.store_study(0, "a")
    world.drain()
    world.delete(world.study(0))
    world.drain()
    linked.is_linked = False
    world.store_study(0, "a")
    world.drain()
    world.delete(world.study(0))
    world.drain()
    assert world.studies(0) == []


FAULTS = [
    # status, the instances of the study
    (500, 1),
    (500, 3),
    (408, 1),
    (408, 3),
]


@pytest.mark.parametrize(("status", "instances"), FAULTS)
def test_one_study_that_the_server_cannot_bear(mannered, status, instances):
    """The same answer each time while others succeed: its entry alone is recorded, like a refusal, and not tried for ever."""
    world = mannered()
    bad = f"{world.study(1)}.1.{instances}"
    world.fhir.manners = [m.Failing(f"'{bad}'", status)]
    world.store_study(0, "a", instances=1)
    world.store_study(1, "c", instances=instances)
    world.store_study(2, "b", instances=1)
    for _ in range(3):
        world.tick()
        if world.final():
            break
    assert [(table, uid) for table, uid, _ in world.final()] == [("FhirFailToStoreExceptionTable", bad)]
    assert str(status) in world.final()[0][2]
    assert world.app.status().lag.entries == 0
    assert world.differences() == []
    failed = len([answer for _, answer in world.fhir.transactions() if answer.status == status])
    assert failed <= 20
    world.store_one(2, 7, PatientID=world.patient("b"))
    world.drain()
    assert len([answer for _, answer in world.fhir.transactions() if answer.status == status]) == failed


@pytest.mark.parametrize("status", [409, 412, 500])
def test_a_lost_race_is_run_again(mannered, status):
    """Whatever it is answered: both writers' words are there, in the same tick, and nothing is recorded."""
    world = mannered(m.StaleAnswered(status))
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    came_between = world.once_before(
        lambda request: writes(request, "ImagingStudy", "PUT"),
        lambda: world.edit(world.imaging_study(0), note=NOTE),
    )
    world.update(0, PatientID=world.patient("c"))
    world.tick()
    assert came_between
    assert world.imaging_study(0)["note"] == NOTE
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)

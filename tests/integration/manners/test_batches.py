"""Batches: tried where nothing is stated, and not tried again where they are refused."""

import pytest

from tests.integration.manners import manners as m

pytestmark = pytest.mark.timeout(120)

STUDIES = 60


def test_a_batch_that_is_not_stated_is_taken(mannered):
    """As on HAPI: sixty one-instance studies of sixty patients need few calls, none a search by itself for each."""
    world = mannered(m.Stating(m.batch_not_stated), DicomCast__Features__GenerateObservations="false")
    world.store(studies=STUDIES, instances=1)
    world.tick()
    assert world.all_differences() == []
    assert len([request for request, _ in world.fhir.asked if request.is_batch]) >= 1
    assert len(world.fhir.asked) <= 40


REFUSED = [
    # name, the manners
    ("though stated", (m.batch_refused,)),
    ("and not stated", (m.batch_refused, m.Stating(m.batch_not_stated))),
    ("and no interaction stated", (m.batch_refused, m.Stating(m.no_interactions))),
]


@pytest.mark.parametrize(("name", "manners"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_batch_that_is_refused_is_tried_once(mannered, name, manners):
    """One batch in the life of the process, though groups and ticks would like more."""
    world = mannered(*manners, DicomCast__MaxConcurrency="1")
    world.store(studies=20, instances=1)
    world.drain()
    for number in (2, 3):
        files = [world.file(study, number) for study in range(20)]
        assert world.dicom.store(*files).status_code == 200
        world.drain()
    assert world.all_differences() == []
    assert world.open_rows() == []
    assert len([request for request, _ in world.fhir.asked if request.is_batch]) == 1


def test_a_server_is_asked_to_work_in_parallel(mannered):
    """By the setting: batches and transactions bear Azure's header, no other request does."""
    world = mannered(Fhir__BundleProcessing="parallel")
    world.store(studies=2, instances=1)
    world.drain()
    asked = {
        (request.method, request.path, request.headers.get("x-bundle-processing-logic"))
        for request, _ in world.fhir.asked
    }
    bundles = {logic for method, path, logic in asked if (method, path) == ("POST", "")}
    assert bundles == {"parallel"}
    assert {logic for method, path, logic in asked if (method, path) != ("POST", "")} == {None}

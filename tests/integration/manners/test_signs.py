"""Who made a resource: told by a sign that servers keep, and by what others have put on it since."""

import pytest

from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS

pytestmark = pytest.mark.timeout(60)

KEPT = [
    # name, the manners
    ("all is kept", ()),
    ("meta.source is dropped", (m.source_dropped,)),
    ("meta.source gets the request's id", (m.source_with_request_id,)),
    ("searches without meta", (m.searches_without_meta,)),
]


def ours(world):
    """What only we make of a study: the ImagingStudy and its Observations."""
    held = world.held()
    return held.get("ImagingStudy", []) + held.get("Observation", [])


def stored(world):
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)


@pytest.mark.parametrize(("name", "manners"), KEPT, ids=[row[0] for row in KEPT])
def test_what_we_make_bears_our_sign_and_is_deleted(mannered, name, manners):
    """A tag beside `meta.source`, kept through updates; with the study in DICOM all of it goes, by another host."""
    world = mannered(*manners)
    stored(world)
    assert all(world.tagged(one) for one in ours(world))
    world.update(0, PatientID=world.patient("c"))
    world.drain()
    assert len(ours(world)) == 1 + OBSERVATIONS
    assert all(world.tagged(one) for one in ours(world))
    world.build()
    world.delete(world.study(0))
    world.drain()
    world.all_well(Patient=2, Endpoint=1)


def test_what_bears_no_sign_but_its_source(mannered):
    """As what was made before there was one, and where another's PUT dropped the tag: no reason to write; ours still."""
    world = mannered()
    stored(world)
    for one in ours(world):
        world.edit(one, meta={"source": world.feed.url})
    before = world.versions()
    world.read_again()
    assert world.versions() == before
    world.delete(world.study(0))
    world.drain()
    world.all_well(Patient=1, Endpoint=1)


FOREIGN = [
    # name, what another system puts on the ImagingStudy
    ("an order", {"basedOn": [{"reference": "ServiceRequest/7"}]}),
    ("a note", {"note": [{"text": "seen by the tumour board"}]}),
    ("an identifier", {"identifier": [{"system": "https://ris.example.org/studies", "value": "S-7"}]}),
]


@pytest.mark.parametrize("manners", [(), (m.source_dropped,)], ids=["all is kept", "meta.source is dropped"])
@pytest.mark.parametrize(("name", "content"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_what_another_system_made_its_own_stays(mannered, name, content, manners):
    """The study is gone from DICOM: cancelled, without our series, and all that was put on it is there."""
    world = mannered(*manners)
    world.store_study(0, "a")
    world.drain()
    study = world.imaging_study(0)
    put = {element: [*study.get(element, []), *items] for element, items in content.items()}
    world.edit(study, **put)
    world.build()
    world.delete(world.study(0))
    world.drain()
    study = world.imaging_study(0)
    assert study["status"] == "cancelled"
    assert "series" not in study
    for element, items in content.items():
        assert all(item in study[element] for item in items)
    assert [row for row in world.final() if row[0] == "TransientFailureExceptionTable"] == []

    before = world.versions()
    world.read_again()
    assert world.versions() == before
    world.store_study(0, "a")
    world.drain()
    study = world.imaging_study(0)
    assert study["status"] == "available"
    for element, items in content.items():
        assert all(item in study[element] for item in items)
    assert world.all_differences() == []


def test_what_another_service_has_claimed_stays(mannered):
    """A sign of ours with another DICOM service in it is that one's."""
    world = mannered()
    world.store_study(0, "a")
    world.drain()
    other = "https://other.example.org"
    meta = {"source": other, "tag": [{"system": m.TAG_SYSTEM, "code": other}]}
    world.edit(world.imaging_study(0), meta=meta)
    world.build()
    world.delete(world.study(0))
    world.drain()
    assert len(world.studies(0)) == 1

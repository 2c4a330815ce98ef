"""What the answer to a transaction leaves out, or says otherwise: the same host is not misled by it afterwards."""

import pytest

from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS

pytestmark = pytest.mark.timeout(60)

ANSWERS = [
    # name, the manner
    ("the resources", m.prefer_ignored),
    ("versions in etag, none in location", m.version_in_etag_alone),
    ("no location", m.no_location),
    ("neither location nor etag", m.no_location_nor_etag),
    ("a status of digits alone", m.bare_status),
    ("ids in capitals", m.ids_change_case),
    ("no location, ids of its own case in searches", m.several(m.no_location, m.ids_change_case)),
]


@pytest.mark.parametrize(("name", "manner"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_changes_nothing_writes_nothing(mannered, name, manner):
    """The same values again, right after they were written by the same host; then an instance more is one write."""
    world = mannered(manner)
    world.store_study(0, "a")
    world.store_report()
    world.drain()
    before = world.versions()
    world.update(0, PatientID=world.patient("a"))
    world.drain()
    assert world.versions() == before
    world.store_one(0, 7, PatientID=world.patient("a"))
    world.drain()
    assert world.imaging_study(0)["meta"]["versionId"] == "2"
    world.all_well(Patient=1, Endpoint=1, ImagingStudy=1, Observation=OBSERVATIONS)

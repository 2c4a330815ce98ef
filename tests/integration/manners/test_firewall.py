"""A web application firewall before the FHIR server: what it refuses of one study is that study's own fault."""

import pytest

from local.fhir_account import search
from tests.integration.manners import manners as m

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("is_batched", [True, False])
@pytest.mark.parametrize("what", ["a search for the patient", "a search for the study", "a transaction"])
def test_one_study_that_a_firewall_refuses(mannered, what, is_batched):
    """403 to one among others that succeed: its entries are recorded, the others are in FHIR, in one tick."""
    firewall = m.Firewall("nothing yet")
    world = mannered(firewall)
    firewall.word = {
        "a search for the patient": world.patient("b"),
        "a search for the study": world.study(2),
        "a transaction": "PROGESTERONE",
    }[what]
    world.store_study(0, "a")
    world.store_one(2, 1, PatientID=world.patient("b"), StudyDescription="PROGESTERONE")
    if not is_batched:
        world.search_one_by_one()
    before = {one["id"] for one in search(world.fhir_url, "Endpoint")}
    record = world.tick()
    assert (record.error, record.outcome.value) == (None, "synced")
    assert [(table, uid) for table, uid, _ in world.final()] == [
        ("FhirFailToStoreExceptionTable", f"{world.study(2)}.1.1")
    ]
    (reason,) = {reason for _, _, reason in world.final()}
    assert "403" in reason
    assert world.patient("b") not in reason
    assert len(world.studies(0)) == 1
    assert len({one["id"] for one in search(world.fhir_url, "Endpoint")} - before) == 1  # the app's own

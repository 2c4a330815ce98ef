"""The life of three studies on FHIR servers of many manners: FHIR says what DICOM holds, once, and nothing is recorded."""

import time

import pytest

from tests.integration.manners import manners as m
from tests.integration.manners.world import OBSERVATIONS, writes

pytestmark = pytest.mark.timeout(120)

LONG = {"Patient__PatientSystemId": f"https://issuer.example.org/{'a' * 2000}"}

MANNERS = [
    # name, what makes it, where it comes from, settings of the app
    ("the server's own", m.several, "sekmet: ifMatch on DELETE is ignored", {}),
    ("ifMatch on DELETE is honoured", lambda: m.if_match_on_delete, "R4 http.html#concurrency", {}),
    ("searches without meta.versionId", lambda: m.versionless_searches, "optional in R4", {}),
    ("searches without meta", lambda: m.searches_without_meta, "optional in R4", {}),
    ("versions in the ETag of a read alone", lambda: m.several(m.no_location_nor_etag, m.searches_without_meta), "optional in R4", {}),
    ("transactions of 8 entries", m.Limited, "Medplum's router 5.2: more with ifNoneExist, or 50 updates, are 400", {}),
    ("transactions of 3 entries", lambda: m.Limited(isolated=3, updates=2), "a limit below what one study needs", {}),
    ("transactions of 6 KB", lambda: m.Small(6_000), "gateways: 413", {}),
    ("Prefer is ignored", lambda: m.prefer_ignored, "R4 http.html#ops: a hint", {}),
    ("versions in etag, none in location", lambda: m.version_in_etag_alone, "R4 allows both", {}),
    ("no location", lambda: m.no_location, "optional in R4", {}),
    ("neither location nor etag", lambda: m.no_location_nor_etag, "optional in R4", {}),
    ("neither, but the resource", lambda: m.several(m.no_location_nor_etag, m.prefer_ignored), "optional in R4", {}),
    ("a status of digits alone", lambda: m.bare_status, "R4: the code, optionally its words", {}),
    ("ids change case", lambda: m.ids_change_case, "public reports", {}),
    ("searches lag 2 s behind", lambda: m.Lagging(2), "searches that are consistent in the end", {}),
    ("conditional create without a lock", m.Racy, "Azure's server #1382, HAPI #3141, #4597", {}),
    ("ifNoneExist by identifier alone", lambda: m.identifiers_alone_if_none_exist, "Google's documentation", {}),
    ("ifNoneExist may not begin with a modifier", lambda: m.no_modifier_first_if_none_exist, "HAPI 8.8: 500", {}),
    ("a stale ifMatch is 409", lambda: m.StaleAnswered(409), "HAPI", {}),
    ("a stale ifMatch is 500", lambda: m.StaleAnswered(500), "Azure's server #5541, #5592, #3841", {}),
    ("a PUT of an unknown id creates", lambda: m.put_creates, "HAPI, also with ifMatch", {}),
    ("a PUT of what was deleted makes it again", lambda: m.deleted_is_made_again, "R4 http.html#delete allows it", {}),
    ("searches are cached", m.Cached, "HAPI: 60 s, unless Cache-Control: no-cache", {}),
    ("long GET is 414", lambda: m.LongUrlsRefused(414), "proxies", LONG),
    ("long GET is 400", lambda: m.LongUrlsRefused(400), "Tomcat, before HAPI", LONG),
    ("no batch, long GET is 414", lambda: m.several(m.batch_refused, m.LongUrlsRefused(414)), "proxies", LONG),
    ("no batch, no POST _search", lambda: m.several(m.batch_refused, m.no_post_search), "optional on many servers", LONG),
    ("batch is taken, not stated", lambda: m.Stating(m.batch_not_stated), "HAPI", {}),
    ("batch is refused, though stated", lambda: m.batch_refused, "R4 http.html#transaction obliges", {}),
    ("batch is neither taken nor stated", lambda: m.several(m.batch_refused, m.Stating(m.batch_not_stated)), "small servers", {}),
    ("meta.source is dropped", lambda: m.source_dropped, "HAPI's Docker image", {}),
    ("meta.source gets the request's id", lambda: m.source_with_request_id, "HAPI where it stores it", {}),
    ("rest of a client first", lambda: m.Stating(m.client_first), "R4: rest is a list", {}),
    ("no interaction is stated", lambda: m.Stating(m.no_interactions), "optional in R4", {}),
    ("no software is stated", lambda: m.Stating(m.no_software), "optional in R4", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "make", "source", "settings"), MANNERS, ids=[row[0] for row in MANNERS])
def test_the_life_of_three_studies(mannered, name, make, source, settings):
    """Stored, added to, updated while somebody else writes, deleted, stored again; the feed read again writes nothing."""
    manner = make()
    world = mannered(manner, **settings)
    world.store_all()
    world.drain()
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=3, Observation=OBSERVATIONS)

    world.store_one(0, 7, PatientID=world.patient("a"), SeriesInstanceUID=f"{world.study(0)}.2")
    world.store_one(1, 7, PatientID=world.patient("a"))
    world.drain()
    world.all_well(Patient=2, Endpoint=1, ImagingStudy=3, Observation=OBSERVATIONS)

    came_between = world.once_before(
        lambda request: writes(request, "ImagingStudy", "PUT", uid=world.study(0)),
        lambda: world.edit(world.imaging_study(0), note=[{"text": "seen by the tumour board"}]),
    )
    world.update(0, StudyDescription="Another description")
    world.update(1, PatientID=world.patient("c"))
    world.drain()
    assert came_between
    assert "seen by the tumour board" in [one["text"] for one in world.imaging_study(0)["note"]]
    assert world.imaging_study(0)["description"] == "Another description"
    world.all_well(Patient=3, Endpoint=1, ImagingStudy=3, Observation=OBSERVATIONS)

    world.delete(world.study(0), f"{world.study(0)}.1", f"{world.study(0)}.1.1")
    world.delete(world.study(0), f"{world.study(0)}.9")
    world.delete(world.study(2))
    world.drain()
    world.all_well(Patient=3, Endpoint=1, ImagingStudy=2)

    world.store_study(2, "b")
    world.store_report()
    world.drain()
    world.all_well(Patient=3, Endpoint=1, ImagingStudy=3, Observation=OBSERVATIONS)

    if isinstance(manner, m.Lagging):
        time.sleep(manner.seconds)  # another host cannot know what this one has just written
    before = world.versions()
    world.read_again()
    assert world.versions() == before
    world.all_well(Patient=3, Endpoint=1, ImagingStudy=3, Observation=OBSERVATIONS)

"""Replays over HTTP, on the whole stack: the app's own timer works on them."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import requests

from local.failures import recorded_failures


def test_a_range_again_changes_nothing(api):
    """202, a place to look, and in the end every entry unchanged; the watermark stood."""
    api.store(1, 2)
    before = api.drained()["watermark"]
    answer = api.call("POST", "/replay", json={"sequence": {"from": 1, "to": before["sequence"]}})
    assert answer.status_code == 202
    replay_id = answer.json()["id"]
    assert answer.headers["Location"] == f"/api/replay/{replay_id}"
    replay = api.ended(replay_id)
    assert (replay["state"], replay["progress"]["written"], replay["progress"]["failed"]) == ("done", 0, 0)
    assert replay["progress"]["done"] == replay["progress"]["total"] == before["sequence"]
    assert api.drained()["watermark"] == before
    assert replay_id in [one["id"] for one in api.get("/replay").json()["replays"]]


def test_a_range_of_time(api):
    """By API v2 of the feed."""
    api.store(3)
    api.drained()
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    replay = api.replayed({"time": {"from": (now - hour).isoformat(), "to": (now + hour).isoformat()}})
    assert (replay["state"], replay["progress"]["written"]) == ("done", 0)
    assert replay["progress"]["done"] == api.get("/status").json()["latest"]["sequence"]


def test_a_study_that_was_damaged_is_rebuilt(api):
    """Somebody took a series away and added an instance: both are mended. A dry run says so first, and does nothing."""
    api.store(4, instances=3)
    api.drained()
    study = api.study(4)
    series = study["series"][0]
    broken = {
        **study,
        "series": [{**series, "instance": [*series["instance"][1:], {**series["instance"][0], "uid": "1.9"}]}],
    }
    requests.put(f"{api.stack.fhir_url}/ImagingStudy/{study['id']}", json=broken, timeout=30).raise_for_status()
    dry_run = api.replayed({"study": "1.2.4", "dryRun": True})
    assert dry_run["writes"] == [{"method": "PUT", "url": f"ImagingStudy/{study['id']}", "studyInstanceUID": "1.2.4"}]
    assert api.study(4)["meta"]["versionId"] == "2"
    assert api.replayed({"study": "1.2.4"})["progress"] == {
        "done": 3, "total": 3, "written": 3, "unchanged": 0, "failed": 0,
    }  # fmt: skip
    mended = api.study(4)
    assert sorted(one["uid"] for one in mended["series"][0]["instance"]) == [f"1.2.4.1.{n}" for n in (1, 2, 3)]
    assert mended["meta"]["versionId"] == "3"


def test_a_study_that_is_gone_is_deleted(api):
    """In FHIR too, although the feed's delete was done long ago."""
    api.store(5)
    api.drained()
    study = api.study(5)
    requests.delete(f"{api.stack.dicom_url}/v1/studies/1.2.5", timeout=30)
    api.drained()
    assert api.study(5) is None
    again = {name: value for name, value in study.items() if name != "id"}
    requests.post(f"{api.stack.fhir_url}/ImagingStudy", json=again, timeout=30).raise_for_status()
    assert api.replayed({"study": "1.2.5"})["state"] == "done"
    assert api.study(5) is None


def test_stored_errors_are_tried_again(api):
    """A person mended FHIR: two Patients of one identity had stopped a study. Its rows are marked, others stay."""
    patient = {"resourceType": "Patient", "identifier": [{"value": "P-6"}]}
    twins = [requests.post(f"{api.stack.fhir_url}/Patient", json=patient, timeout=30).json()["id"] for _ in range(2)]
    api.store(6)
    api.store(7, PatientID=None)
    api.drained()
    assert api.study(6) is None
    requests.delete(f"{api.stack.fhir_url}/Patient/{twins[0]}", timeout=30)
    replay = api.replayed({"errors": "all"})
    assert (replay["progress"]["written"], replay["progress"]["failed"]) == (2, 2)
    assert {error["sopInstanceUID"] for error in replay["errors"]} == {"1.2.7.1.1", "1.2.7.1.2"}
    assert api.study(6)["subject"] == {"reference": f"Patient/{twins[1]}"}
    page = api.get("/errors/FhirFailToStoreExceptionTable?open=false&study=1.2.6").json()
    assert [bool(row["resolvedAt"]) for row in page["rows"]] == [True, True]
    assert api.get("/errors/FhirFailToStoreExceptionTable?study=1.2.6").json()["rows"] == []
    assert len(api.get("/errors/DicomFailToStoreExceptionTable?study=1.2.7").json()["rows"]) == 2


def test_an_error_row_says_where_to_rebuild_its_study(api):
    """The data partition: with it the study is found again, and the row is marked; that of another one stays open."""
    patient = {"resourceType": "Patient", "identifier": [{"value": "P-9"}]}
    twins = [requests.post(f"{api.stack.fhir_url}/Patient", json=patient, timeout=30).json()["id"] for _ in range(2)]
    api.store(9, instances=1, partition="north")
    api.store(9, instances=1)
    api.drained()
    requests.delete(f"{api.stack.fhir_url}/Patient/{twins[0]}", timeout=30)
    path = "/errors/FhirFailToStoreExceptionTable?study=1.2.9"
    row, other = api.get(path).json()["rows"]
    assert (row["partition"], other["partition"]) == ("north", "Microsoft.Default")
    replay = api.replayed({"study": row["studyInstanceUID"], "partition": row["partition"]})
    assert (replay["progress"]["written"], replay["progress"]["failed"]) == (1, 0)
    assert api.get(path).json()["rows"] == [other]


def test_error_rows_come_in_pages(api):
    """Each row once, in the table's order."""
    api.store(8, instances=7, PatientID=None)
    api.drained()
    path = "/errors/DicomFailToStoreExceptionTable?study=1.2.8&size=3"
    pages = [api.get(path).json()]
    while "next" in pages[-1]:
        pages.append(api.get(f"{path}&after={pages[-1]['next']}").json())
    assert [len(page["rows"]) for page in pages] == [3, 3, 1]
    assert len(api.get("/errors/DicomFailToStoreExceptionTable?open=false&size=200").json()["rows"]) >= 7
    rows = [row for page in pages for row in page["rows"]]
    assert [row["sopInstanceUID"] for row in rows] == [f"1.2.8.1.{number}" for number in range(1, 8)]


def test_the_same_request_twice_at_once_is_one_replay(api):
    """However exactly at once; no tick ends it in between."""
    body = {"study": "1.2.840.99"}
    with api.without_ticks(), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.call("POST", "/replay", json=body), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json()["id"] for answer in answers}
    assert len(ids) == 1
    assert api.ended(ids.pop())["state"] == "done"
    assert api.call("POST", "/replay", json=body).json()["id"] not in ids, "one that has ended is not given again"


def test_a_replay_can_be_cancelled(api):
    """At once, and for good; what has ended stays as it is."""
    replay_id = api.call("POST", "/replay", json={"study": "1.2.840.98"}).json()["id"]
    cancelled = api.call("DELETE", f"/replay/{replay_id}")
    assert (cancelled.status_code, cancelled.json()["state"] in ("cancelled", "done")) == (200, True)
    time.sleep(2)
    assert api.get(f"/replay/{replay_id}").json()["state"] == cancelled.json()["state"]
    assert api.call("DELETE", f"/replay/{replay_id}").json()["state"] == cancelled.json()["state"]


def test_what_cannot_be_replayed(api):
    """Problems that name every fault."""
    answer = api.call("POST", "/replay", json={"sequence": {"from": 3, "to": 2}, "x": 1})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json; charset=utf-8")
    assert answer.json()["errors"] == ["x: extra inputs are not permitted"]
    assert api.get("/replay/0123-abc").status_code == 404
    assert api.call("DELETE", "/replay/0123-abc").status_code == 404


def test_5000_entries_survive_two_kills(own_api):
    """The host is killed in mid-replay, twice: it goes on behind its cursor, and nothing is written twice."""
    api = own_api
    for block in range(10):
        api.store(*range(block * 50, block * 50 + 50), instances=10)
    api.awaited(lambda status: status["lag"]["entries"] == 0, seconds=120)
    # FHIR forgets a fifth of the studies, so that the replay has something to write.
    for number in range(0, 500, 5):
        requests.delete(f"{api.stack.fhir_url}/ImagingStudy/{api.study(number)['id']}", timeout=30)
    replay_id = api.call("POST", "/replay", json={"sequence": {"from": 1, "to": 5000}}).json()["id"]
    seen = []
    for _ in range(2):
        done = seen[-1] if seen else 0
        while (now := api.get(f"/replay/{replay_id}").json()["progress"]["done"]) <= done:
            time.sleep(0.02)
        seen.append(now)
        api.stack.kill("functions")
        api.stack.start("functions")
    replay = api.ended(replay_id, seconds=180)
    assert 0 < seen[0] < seen[1] < 5000, "the kills were in mid-replay"
    assert (replay["state"], replay["progress"]["done"], replay["progress"]["failed"]) == ("done", 5000, 0)
    ours = {f"1.2.{number}" for number in range(80, 91)}
    assert [one.differences for one in api.differences() if one.study_instance_uid in ours] == []
    assert {api.study(number)["meta"]["versionId"] for number in range(500)} == {"1"}
    assert recorded_failures(api.stack.storage_connection) == []


def test_the_audit_finds_what_differs_and_heals_it(api):
    """Drift of several kinds, of which no feed tells; what it heals is right by an independent comparison.

    A study that the archive has no more is told, and not deleted before it was absent twice, nor then without a
    person's word: it is more than one in a hundred. Nothing else differs.
    """
    api.store(*range(80, 90), instances=3, StudyDate="20240506")
    api.store(90, instances=3, StudyDate="yesterday")
    api.drained()
    gone = _drift(api)
    said = api.audited()
    counts = said["rounds"][0]["counts"]
    assert (counts["differed"], counts["healed"], said["rounds"][0]["unknown"]) == (6, 5, [])
    assert [(one["studyInstanceUID"], one["kind"]) for one in said["differences"]] == [("1.2.85", "gone")]
    time.sleep(1.1)
    stopped = api.audited()["rounds"][0]
    assert (stopped["state"], stopped["deletesWaiting"]) == ("stopped", 1)
    assert stopped["says"].startswith("stopped: 1 deletes wait for a person")
    assert api.study(85)["id"] == gone["id"]
    assert api.call("POST", "/audit", json={"confirm": "0"}).status_code == 404
    done = api.audited(confirm=stopped["id"])
    assert (done["rounds"][0]["state"], done["rounds"][0]["counts"]["deleted"], done["differences"]) == ("done", 1, [])
    ours = {f"1.2.{number}" for number in range(80, 91)}
    assert [one.differences for one in api.differences() if one.study_instance_uid in ours] == []


def _drift(api):
    """Five studies are changed in FHIR, one is taken away there, and one, which is returned, put there that DICOM lacks."""
    studies = {number: api.study(number) for number in (81, 82, 83, 84, 90)}
    lost = [studies[81], studies[90]]
    requests.delete(f"{api.stack.dicom_url}/v1/studies/1.2.85", timeout=30).raise_for_status()
    gone = api.study(85)
    api.drained()
    for study in lost:
        requests.delete(f"{api.stack.fhir_url}/ImagingStudy/{study['id']}", timeout=30).raise_for_status()
    (series,) = studies[82]["series"]
    other = api.study(86)["subject"]
    changed = [
        {**studies[82], "series": [{**series, "instance": series["instance"][1:]}]},
        {**studies[83], "subject": other},
        {**studies[84], "modality": [{**studies[84]["modality"][0], "code": "MR"}]},
    ]
    for study in changed:
        url = f"{api.stack.fhir_url}/ImagingStudy/{study['id']}"
        requests.put(url, json=study, timeout=30).raise_for_status()
    again = {name: value for name, value in gone.items() if name != "id"}
    answer = requests.post(f"{api.stack.fhir_url}/ImagingStudy", json=again, timeout=30)
    return answer.json()


def test_a_round_is_stopped_and_what_cannot_be_asked_is_named(api):
    """One at a time; every fault of the body is told."""
    assert api.call("POST", "/audit", json={"dates": {"from": "2024-05-06", "to": "2024-05-07"}}).status_code == 202
    again = api.call("POST", "/audit", json={})
    assert (again.status_code, "under way" in again.text) == (400, True)
    assert api.call("DELETE", "/audit").json()["state"] == "cancelled"
    assert api.call("DELETE", "/audit").status_code == 404
    odd = api.call("POST", "/audit", json={"study": "1.2", "dates": {"from": "2024-05-06", "to": "2024-01-01"}})
    assert (odd.status_code, "dates" in odd.text, "both" in odd.text) == (400, True, True)
    assert api.get("/audit?kind=odd").status_code == 400

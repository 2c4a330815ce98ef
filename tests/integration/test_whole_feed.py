"""Updates, data partitions, dose reports and studies too large to list, on the real parts."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from shared.model.replay import ReplayRequest, SequenceRange, StudyRebuild
from tests.integration.faults.proxy import Fault, proxy_to
from tests.integration.whole_feed import World


@pytest.fixture
def world(dicom, fhir_url, storage):
    return World(dicom, fhir_url, storage)


def test_an_update_is_followed(world):
    """Name, description, accession number, referrer: what was is no more; what others wrote stays."""
    old = {"AccessionNumber": "A-1", "StudyDescription": "Chest", "ReferringPhysicianName": "Watson^John"}
    world.dicom.store(*(world.file(number, **old) for number in (1, 2, 3)))
    world.synced()
    theirs = world.imaging_study()
    theirs["note"].append({"text": "seen by the tumour board"})
    requests.put(f"{world.fhir_url}/ImagingStudy/{theirs['id']}", json=theirs, timeout=30).raise_for_status()
    new = {"AccessionNumber": "A-2", "StudyDescription": "Thorax", "ReferringPhysicianName": "Holmes^Mycroft", "PatientName": "Adler^Irene"}  # fmt: skip
    assert world.dicom.bulk_update(world.study, **new).status_code == 202
    world.synced()
    study = world.imaging_study()
    assert [one["value"] for one in study["identifier"]] == [f"urn:oid:{world.study}", "A-2"]
    assert [one["text"] for one in study["note"]] == ["seen by the tumour board", "Thorax"]
    assert (study["description"], study["referrer"]) == ("Thorax", {"display": "Mycroft Holmes"})
    assert world.subject(study)["name"][0]["family"] == "Adler"
    assert study["numberOfInstances"] == 3
    world.build()
    replay = world.app.start_replay(ReplayRequest(StudyRebuild(world.study)))
    world.app.tick()
    assert world.app.replay(replay.id).progress.unchanged == 3
    assert world.imaging_study()["meta"]["versionId"] == study["meta"]["versionId"]


def test_an_update_of_the_patient_moves_the_study(world):
    """To the other Patient, which is made; the old one is left alone. Its dose Observations move along."""
    world.build(DicomCast__Features__GenerateObservations="true")
    report = f"{world.study}.9.1"
    world.dicom.store(world.file(1), world.report(report))
    world.synced()
    before = world.subject(world.imaging_study())
    other = f"Q-{uuid4().hex[:12]}"
    world.dicom.bulk_update(world.study, PatientID=other)
    world.synced()
    study = world.imaging_study()
    assert world.subject(study)["identifier"] == [{"value": other}]
    observations = world.search("Observation", f"urn:dicom:uid|urn:oid:{report}")
    assert {one["subject"]["reference"] for one in observations} == {study["subject"]["reference"]}
    (left,) = world.search("Patient", f"|{world.patient}")
    assert left == before


def test_an_update_between_two_batches(world):
    """Half of the study was synced before it, half of its entries come after it: one study, one patient."""
    world.build(DicomCast__BatchSize="100", DicomCast__MaxBatchesPerTick="1", DicomCast__TickTimeBudget="00:00:20")
    world.dicom.store(*(world.file(number) for number in range(1, 151)))
    world.app.tick()
    assert 0 < world.imaging_study()["numberOfInstances"] < 150
    world.dicom.bulk_update(world.study, PatientID=f"{world.patient}-2", StudyDescription="Moved")
    world.synced()
    study = world.imaging_study()
    assert (study["numberOfInstances"], study["description"]) == (150, "Moved")
    assert world.subject(study)["identifier"] == [{"value": f"{world.patient}-2"}]


def test_the_same_study_in_two_partitions(world):
    """Two studies that never mix: each with its Endpoint; a delete in one leaves the other."""
    world.dicom.store(world.file(1), world.file(2))
    world.dicom.store(world.file(1, StudyDescription="north"), partition="north")
    world.synced()
    url = f"{world.dicom.url}/partitions/north"
    default, north = world.imaging_study(), world.imaging_study(url)
    assert (default["numberOfInstances"], north["numberOfInstances"]) == (2, 1)
    assert (default["meta"]["source"], north["meta"]["source"]) == (world.dicom.url, url)
    endpoint = requests.get(f"{world.fhir_url}/{north['endpoint'][0]['reference']}", timeout=30).json()
    assert (endpoint["address"], endpoint["name"]) == (url, f"DICOM WADO-RS endpoint {url}")
    assert north["endpoint"] != default["endpoint"]
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}", timeout=30)
    world.synced()
    assert world.imaging_studies() == []
    assert world.imaging_study(url)["meta"]["versionId"] == "1"


def test_a_study_of_a_partition_is_rebuilt_from_there(world):
    """Its metadata is read where it is."""
    world.dicom.store(world.file(1), world.file(2), partition="south")
    world.synced()
    url = f"{world.dicom.url}/partitions/south"
    study = world.imaging_study(url)
    requests.delete(f"{world.fhir_url}/ImagingStudy/{study['id']}", timeout=30)
    replay = world.app.start_replay(ReplayRequest(StudyRebuild(world.study, "south")))
    world.app.tick()
    assert world.app.replay(replay.id).progress.written == 2
    assert world.imaging_study(url)["numberOfInstances"] == 2


def test_a_dose_report_becomes_observations(world):
    """A summary and two events; the same again writes nothing; with the report they go."""
    world.build(DicomCast__Features__GenerateObservations="true")
    report = f"{world.study}.9.1"
    world.dicom.store(world.file(1), world.report(report))
    world.synced()
    found = world.search("Observation", f"urn:dicom:uid|urn:oid:{report}")
    assert sorted(one["code"]["coding"][0]["code"] for one in found) == ["113852", "113852", "73569-6"]
    study = world.imaging_study()
    for one in found:
        assert one["derivedFrom"] == [{"reference": f"ImagingStudy/{study['id']}"}]
        assert one["subject"] == study["subject"]
    world.app.start_replay(ReplayRequest(StudyRebuild(world.study)))
    world.app.tick()
    again = world.search("Observation", f"urn:dicom:uid|urn:oid:{report}")
    assert {one["meta"]["versionId"] for one in again} == {"1"}
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}/series/{world.study}.9", timeout=30)
    world.synced()
    assert world.search("Observation", f"urn:dicom:uid|urn:oid:{report}") == []
    assert world.imaging_study()["numberOfInstances"] == 1


def test_a_dose_report_is_no_observation_by_default(world):
    """The setting is false."""
    report = f"{world.study}.9.1"
    world.dicom.store(world.report(report))
    world.synced()
    assert world.search("Observation", f"urn:dicom:uid|urn:oid:{report}") == []


def test_a_report_whose_content_the_feed_does_not_have(world):
    """It is fetched from the DICOM service."""
    report = f"{world.study}.9.1"
    with proxy_to(world.dicom.url) as feed:

        def without_content(content):
            entries = json.loads(content) if content[:1] == b"[" else content
            if not isinstance(entries, list) or not entries or "Sequence" not in entries[0]:
                return content
            for entry in entries:
                entry.get("Metadata", {}).pop("0040A730", None)
            return json.dumps(entries).encode()

        feed.rewrite = without_content
        world.build(DicomWeb__Endpoint=feed.url, DicomCast__Features__GenerateObservations="true")
        world.dicom.store(world.report(report))
        world.synced()
    assert len(world.search("Observation", f"urn:dicom:uid|urn:oid:{report}")) == 3


def test_a_large_study_is_counted(world):
    """Above the limit the lists go and the counts stay; they are right after more instances, and after deletes."""
    world.build(DicomCast__MaxInstancesPerStudy="4")
    world.dicom.store(*(world.file(number) for number in (1, 2, 3)))
    world.synced()
    assert len(world.imaging_study()["series"][0]["instance"]) == 3
    second = f"{world.study}.2"
    world.dicom.store(*(world.file(number, SeriesInstanceUID=second) for number in (4, 5)))
    world.synced()
    assert counted(world) == (5, {f"{world.study}.1": 3, second: 2})
    world.dicom.store(world.file(6, SeriesInstanceUID=second))
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}/series/{world.study}.1", timeout=30)
    world.synced()
    assert counted(world) == (3, {second: 3})
    version = world.imaging_study()["meta"]["versionId"]
    world.app.start_replay(ReplayRequest(SequenceRange(1, 6)))
    world.app.tick()
    assert world.imaging_study()["meta"]["versionId"] == version
    requests.delete(f"{world.dicom.url}/v2/studies/{world.study}", timeout=30)
    world.synced()
    assert world.search("ImagingStudy", f"urn:dicom:uid|urn:oid:{world.study}") == []


def counted(world):
    study = world.imaging_study()
    assert not any("instance" in one for one in study["series"])
    return study["numberOfInstances"], {one["uid"]: one["numberOfInstances"] for one in study["series"]}


def test_a_study_that_the_server_takes_only_without_its_lists(world):
    """413: it falls back to counts by itself, and says so in a table; a rebuild lists them again once that is taken."""
    with proxy_to(world.fhir_url.removesuffix("/fhir")) as fhir:
        world.build(Fhir__Endpoint=f"{fhir.url}/fhir")
        fhir.faults.append(Fault("POST", "/fhir", times=1, status=413, body=b'"resourceType":"ImagingStudy"'))
        world.dicom.store(*(world.file(number) for number in (1, 2, 3)))
        world.synced()
    assert counted(world) == (3, {f"{world.study}.1": 3})
    (row,) = world.rows()
    assert (row.table, row.sequence) == ("InvalidDicomTagExceptionTable", 3)
    assert row.reason.startswith("ImagingStudy.series.instance: left out, the series keep their counts; status 413")
    world.build(Fhir__Endpoint=world.fhir_url)
    world.app.start_replay(ReplayRequest(StudyRebuild(world.study)))
    world.app.tick()
    assert len(world.imaging_study()["series"][0]["instance"]) == 3
    assert world.differences() == []


def test_a_series_beside_another_endpoint(world):
    """Somebody else's study has an Endpoint of its own: our series say which is theirs; else no series does."""
    theirs = {"resourceType": "Endpoint", "status": "active", "connectionType": {"code": "dicom-wado-rs"}, "payloadType": [{"text": "x"}], "address": "http://other"}  # fmt: skip
    other = requests.post(f"{world.fhir_url}/Endpoint", json=theirs, timeout=30).json()["id"]
    study = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{world.study}"}],
        "status": "available",
        "subject": {"display": "nobody"},
        "endpoint": [{"reference": f"Endpoint/{other}"}],
        "series": [{"uid": f"{world.study}.7", "modality": {"code": "MR"}}],
    }
    requests.post(f"{world.fhir_url}/ImagingStudy", json=study, timeout=30).raise_for_status()
    world.dicom.store(world.file(1))
    world.synced()
    merged = world.imaging_study()
    ours = merged["endpoint"][1]
    assert [one.get("endpoint") for one in merged["series"]] == [None, [ours]]
    assert Path(ours["reference"]).name != other

"""The main job on real parts: DICOM service -> app -> FHIR server, with state in Azurite."""

import copy
import logging
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from azure.data.tables import TableServiceClient
from pydicom.data import get_charset_files

from local.fhir_account import search
from shared import bootstrap
from shared.model.outcome import Outcome
from shared.model.watermark import Watermark
from shared.settings.config import read_settings
from tests.integration.dicom_service_client import dicom_file


@pytest.fixture
def settings(dicom, fhir_url, storage):
    """Settings of a deployment of its own: own tables and lease, own patients."""
    return {
        "AzureWebJobsStorage": storage,
        "DicomWeb__Endpoint": dicom.url,
        "Fhir__Endpoint": fhir_url,
        "DicomCast__GapGracePeriod": "00:00:02",
        "DicomCast__StudySettle": "0",  # a study that grows is looked for in FHIR at once
        "TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}",
    }


@pytest.fixture
def app(settings):
    return bootstrap.build(read_settings(settings))


class Uids:
    """Names of one study that no other test uses."""

    def __init__(self):
        root = f"2.25.{uuid4().int >> 40}"
        self.study, self.patient = f"{root}.1", f"P-{uuid4().hex[:12]}"

    def series(self, number):
        return f"{self.study}.{number}"

    def instance(self, series, number):
        return f"{self.study}.{series}.{number}"

    def file(self, series=1, number=1, **tags):
        return dicom_file(
            **{
                "StudyInstanceUID": self.study,
                "SeriesInstanceUID": self.series(series),
                "SOPInstanceUID": self.instance(series, number),
                "PatientID": self.patient,
                "Modality": "CT",
                **tags,
            }
        )


@pytest.fixture
def uids():
    return Uids()


def study_in(fhir_url, uids):
    """The ImagingStudy, None where there is none; never two."""
    found = search(fhir_url, "ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{uids.study}")
    assert len(found) <= 1
    return found[0] if found else None


def instances_of(study):
    return {one["uid"]: sorted(i["uid"] for i in one["instance"]) for one in study.get("series", [])}


def versions(fhir_url, uids):
    """Version numbers of all that the study consists of."""
    study = study_in(fhir_url, uids)
    links = [study["subject"], *study["endpoint"]]
    linked = [requests.get(f"{fhir_url}/{link['reference']}", timeout=30).json() for link in links]
    return [one["meta"]["versionId"] for one in (study, *linked)]


@pytest.fixture
def stored(dicom, uids):
    """A study of two series with two instances each."""
    assert dicom.store(*(uids.file(series, number) for series in (1, 2) for number in (1, 2))).status_code == 200
    return uids


def test_a_stored_study_is_in_fhir(app, dicom, stored, fhir_url):
    """Patient, Endpoint, ImagingStudy, linked; the watermark at the feed's end."""
    assert app.tick().outcome is Outcome.SYNCED
    study = study_in(fhir_url, stored)
    assert instances_of(study) == {stored.series(n): [stored.instance(n, 1), stored.instance(n, 2)] for n in (1, 2)}
    patient = requests.get(f"{fhir_url}/{study['subject']['reference']}", timeout=30).json()
    assert patient["identifier"] == [{"value": stored.patient}]
    endpoint = requests.get(f"{fhir_url}/{study['endpoint'][0]['reference']}", timeout=30).json()
    assert endpoint["address"] == dicom.url
    assert app.status().lag.entries == 0
    assert app.tick().outcome is Outcome.IDLE


def test_the_whole_feed_again_changes_no_version(app, stored, fhir_url, settings):
    """Delivery is at least once: from the beginning again, nothing is written."""
    app.tick()
    before = versions(fhir_url, stored)
    again = bootstrap.build(read_settings(settings | {"TableStore__TableNamePrefix": f"t{uuid4().hex[:8]}"}))
    record = again.tick()
    assert (record.result.written, record.result.unchanged) == (0, 4)
    assert versions(fhir_url, stored) == before


def test_loading_the_same_again_changes_no_version(app, dicom, stored, fhir_url):
    """The DICOM service refuses what it holds; the feed says nothing."""
    app.tick()
    before = versions(fhir_url, stored)
    assert dicom.store(stored.file(1, 1)).status_code == 409
    assert app.tick().outcome is Outcome.IDLE
    assert versions(fhir_url, stored) == before


def test_deletes_through_dicomweb(app, dicom, stored, fhir_url):
    """An instance, then its series, then the study: each shows in FHIR."""
    app.tick()
    path = f"/v1/studies/{stored.study}"
    dicom.delete(f"{path}/series/{stored.series(1)}/instances/{stored.instance(1, 1)}")
    app.tick()
    assert instances_of(study_in(fhir_url, stored))[stored.series(1)] == [stored.instance(1, 2)]
    dicom.delete(f"{path}/series/{stored.series(1)}")
    app.tick()
    assert list(instances_of(study_in(fhir_url, stored))) == [stored.series(2)]
    dicom.delete(path)
    app.tick()
    assert study_in(fhir_url, stored) is None


def test_deleted_and_stored_again(app, dicom, stored, fhir_url):
    """The feed's old entries must not take the new instance out, in one batch or in two."""
    app.tick()
    instance = f"/v1/studies/{stored.study}/series/{stored.series(1)}/instances/{stored.instance(1, 1)}"
    for ticks_between in (0, 1):
        dicom.delete(instance)
        for _ in range(ticks_between):
            app.tick()
        dicom.store(stored.file(1, 1))
        app.tick()
        assert len(instances_of(study_in(fhir_url, stored))[stored.series(1)]) == 2


def test_batches_are_small_if_asked(settings, stored, fhir_url):
    """One entry of the feed's page is enough for a batch of one; several ticks do the rest."""
    app = bootstrap.build(read_settings(settings | {"DicomCast__BatchSize": "1"}))
    assert app.tick().result.entries == 4  # a page is the least that is read
    assert app.tick().outcome is Outcome.IDLE
    assert len(instances_of(study_in(fhir_url, stored))) == 2


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_slow_write_is_not_lost(version, settings, dicom, uids, fhir_url):
    """Its number is lower than those already there: the watermark waits for it, as long as it may come."""
    app = bootstrap.build(
        read_settings(settings | {"DicomWeb__ApiVersion": version, "DicomCast__GapGracePeriod": "00:00:03"})
    )
    dicom.store(uids.file(1, 1))
    slow = dicom.post("/admin/reserve", content_type=None).json()["sequence"]
    dicom.store(uids.file(1, 3))
    app.tick()
    assert app.ports.watermarks.read().watermark.sequence < slow
    late = f"/admin/reserve/{slow}/studies"
    assert dicom.store(uids.file(1, 2), path=late).status_code == 200
    _tick_until(app, lambda: app.status().lag.entries == 0)
    assert len(instances_of(study_in(fhir_url, uids))[uids.series(1)]) == 3


def test_a_hole_for_ever_is_passed(app, dicom, uids, fhir_url):
    """Once the entry after it is older than the grace period; a hole wider than a window is no end."""
    dicom.post("/admin/holes?count=250", content_type=None)
    dicom.store(uids.file())
    assert "sequence 1 is missing" in app.tick().result.held_by
    _tick_until(app, lambda: app.status().lag.entries == 0)
    assert study_in(fhir_url, uids)


def _tick_until(app, reached):
    """Ticks until the condition holds; the grace period bounds it, the test's time-out ends it."""
    while not reached():
        app.tick()


def test_v2_follows_as_v1_does(settings, dicom, stored, fhir_url):
    """Entries are synced at once, however young."""
    app = bootstrap.build(
        read_settings(settings | {"DicomWeb__ApiVersion": "v2", "DicomCast__GapGracePeriod": "00:10:00"})
    )
    app.tick()
    assert len(instances_of(study_in(fhir_url, stored))) == 2
    dicom.delete(f"/v1/studies/{stored.study}/series/{stored.series(1)}")
    app.tick()
    assert list(instances_of(study_in(fhir_url, stored))) == [stored.series(2)]
    assert app.status().lag.entries == 0


def test_an_entry_that_fails_is_a_row_and_the_rest_goes_on(app, dicom, uids, fhir_url, settings, storage):
    """One row in the right table, however often it fails; sequence and UIDs, no patient data."""
    secret = "Nightingale"
    dicom.store(uids.file(1, 1), uids.file(1, 2, PatientID=None), uids.file(1, 3, PatientSex="X"))
    app.tick()
    _rewind(app)
    app.tick()
    rows = _rows(storage, settings, "DicomFailToStoreExceptionTable")
    assert [(row["PartitionKey"], row["InstanceUid"], row["ChangeFeedSequence"].value) for row in rows] == [
        ("InvalidDicomTagError", uids.instance(1, 2), 2)
    ]
    assert rows[0]["StudyUid"] == uids.study
    assert rows[0]["SeriesUid"] == uids.series(1)
    assert "(0010,0020) PatientID" in rows[0]["Exception"]
    invalid = _rows(storage, settings, "InvalidDicomTagExceptionTable")
    assert [row["RowKey"] for row in invalid] == [f"{3:020d}-0010,0040"]
    assert secret not in repr(rows + invalid)
    assert uids.patient not in repr(rows + invalid)
    assert instances_of(study_in(fhir_url, uids)) == {uids.series(1): [uids.instance(1, 1), uids.instance(1, 3)]}


def test_a_failure_is_resolved_once_its_entry_is_synced(app, dicom, uids, fhir_url, settings, storage):
    """Two Patients of one identity: recorded with their ids; a person deletes one, and the feed is read again."""
    patient = {"resourceType": "Patient", "identifier": [{"value": uids.patient}]}
    twins = [requests.post(f"{fhir_url}/Patient", json=patient, timeout=30).json()["id"] for _ in range(2)]
    dicom.store(uids.file())
    app.tick()
    (row,) = _rows(storage, settings, "FhirFailToStoreExceptionTable")
    assert row["PartitionKey"] == "MultipleMatchingResourcesError"
    assert all(f"Patient/{one}" in row["Exception"] for one in twins)
    assert row["ResolvedAt"] == ""
    requests.delete(f"{fhir_url}/Patient/{twins[0]}", timeout=30)
    _rewind(app)
    app.tick()
    assert study_in(fhir_url, uids)["subject"] == {"reference": f"Patient/{twins[1]}"}
    assert _rows(storage, settings, "FhirFailToStoreExceptionTable")[0]["ResolvedAt"]


def _rewind(app):
    """As an operator does who wants the feed to be read again from its beginning."""
    held = app.ports.watermarks.read()
    app.ports.watermarks.write(replace(held, watermark=Watermark(), read_through=Watermark()))


def _rows(storage, settings, table):
    tables = TableServiceClient.from_connection_string(storage)
    return list(tables.get_table_client(settings["TableStore__TableNamePrefix"] + table).list_entities())


@pytest.mark.parametrize("enforced", ["false", "true"])
def test_both_validation_modes(enforced, settings, dicom, uids, fhir_url, storage):
    """Off: the tag is left out and told. On: the entry is not synced, and told; the rest of its study is."""
    name = "DicomCast__Features__EnforceValidationOfTagValues"
    app = bootstrap.build(read_settings(settings | {name: enforced}))
    dicom.store(uids.file(1, 1), uids.file(1, 2, PatientSex="f"))
    app.tick()
    synced = instances_of(study_in(fhir_url, uids))[uids.series(1)]
    table = {"false": "InvalidDicomTagExceptionTable", "true": "DicomFailToStoreExceptionTable"}[enforced]
    (row,) = _rows(storage, settings, table)
    assert (row["InstanceUid"], len(synced)) == (uids.instance(1, 2), {"false": 2, "true": 1}[enforced])
    assert row["Exception"] == "(0010,0040) PatientSex (CS): only A-Z, 0-9, blank and underscore are allowed"


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("chrH31.dcm", [(None, "Yamada", ["Tarou"]), ("IDE", "山田", ["太郎"]), ("SYL", "やまだ", ["たろう"])]),
        ("chrArab.dcm", [(None, "قباني", ["لنزار"])]),
    ],
)
def test_names_in_other_scripts(file, names, app, dicom, fhir_url):
    """From the file's own character set to FHIR: Japanese in three scripts, Arabic."""
    (path,) = get_charset_files(file)
    dicom.store(Path(path).read_bytes())
    app.tick()
    patient_id = {"chrH31.dcm": "H31EXAMPLE", "chrArab.dcm": "SCSARAB"}[file]
    (patient,) = search(fhir_url, "Patient", identifier=f"|{patient_id}")
    held = [
        ((one.get("extension") or [{}])[0].get("valueCode"), one["family"], one["given"]) for one in patient["name"]
    ]
    assert held == names


def test_no_patient_data_in_the_log(app, dicom, uids, caplog):
    """Neither of what is synced nor of what fails."""
    caplog.set_level(logging.DEBUG)
    dicom.store(
        uids.file(1, 1, PatientName="Secret^Name"), uids.file(1, 2, PatientSex="X"), uids.file(2, 1, Modality="ct")
    )
    app.tick()
    ours = [repr(vars(line)) for line in caplog.records if line.name.startswith("shared")]
    assert ours
    assert not [line for line in ours if "Secret" in line or uids.patient in line]


ESCAPED = pytest.mark.not_on("medplum", reason="its router does not know the escapes of a token (search.html#escaping)")
PATIENT_IDS = [pytest.param("a,b|c$d\\e&f", marks=ESCAPED), "Ωmega 7", 'quo"te', "100%?x=1#y", "+49"]


@pytest.mark.parametrize("patient_id", PATIENT_IDS)
def test_any_patient_id_is_found_again(app, dicom, uids, fhir_url, patient_id):
    """Escaped for the search and the URL: a second study of the patient makes no second Patient."""
    patient_id = (
        f"{uids.patient[:20]}{patient_id}".replace("\\", "") if "\\" in patient_id else f"{uids.patient}{patient_id}"
    )
    other = Uids()
    dicom.store(uids.file(PatientID=patient_id, SpecificCharacterSet="ISO_IR 192"))
    app.tick()
    dicom.store(other.file(PatientID=patient_id, SpecificCharacterSet="ISO_IR 192"))
    app.tick()
    assert study_in(fhir_url, other)["subject"] == study_in(fhir_url, uids)["subject"]


def test_the_watermarks_row_is_dicom_casts(app, stored, settings, storage):
    """An existing deployment's row is read, and ours could be given back."""
    app.tick()
    (row,) = _rows(storage, settings, "SyncStateTable")
    assert (row["PartitionKey"], row["RowKey"]) == ("SyncStatePartitionKey", "SyncStateRowKey")
    assert (row["SyncedSequence"].value, str(row["SyncedSequence"].edm_type.value)) == (4, "Edm.Int64")


def test_a_second_host_finds_the_lease_held(app, settings, stored):
    """And a third that lost it cannot move the watermark."""
    other = bootstrap.build(read_settings(settings))
    assert app.ports.lease.acquire()
    assert other.tick().outcome is Outcome.LEASE_HELD
    app.ports.lease.release()
    assert other.tick().outcome is Outcome.SYNCED


def test_what_others_wrote_survives_a_sync(app, dicom, stored, fhir_url):
    """Extensions, unknown identifiers, decimals as they were written."""
    app.tick()
    study = study_in(fhir_url, stored)
    extension = {"url": "http://example.org/x", "valueDecimal": 1.10}
    theirs = copy.deepcopy(study) | {"extension": [*study["extension"], extension]}
    requests.put(f"{fhir_url}/ImagingStudy/{study['id']}", json=theirs, timeout=30).raise_for_status()
    dicom.store(stored.file(3, 1))
    app.tick()
    merged = study_in(fhir_url, stored)
    assert [one for one in merged["extension"] if one["url"] == extension["url"]] == [extension]
    assert len(merged["series"]) == 3

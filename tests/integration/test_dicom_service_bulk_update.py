"""The local DICOM service's bulk update, as Azure documents it and its change feed shows it."""

import json
import re
import subprocess

import pytest
import requests

from local.stack import ROOT
from tests.integration.dicom_service_client import Client, dicom_file, studies_path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what the tests do on purpose

BULK_UPDATE = f"{studies_path()}/$bulkUpdate"
NAME = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Seacole^Mary"}]}}


def file(number: int, **attributes) -> bytes:
    """Instance 1.2.3.<number> of study 1.2."""
    return dicom_file(SOPInstanceUID=f"1.2.3.{number}", **attributes)


def post(service: Client, body, path: str = BULK_UPDATE, content_type: str | None = "application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service.post(path, content, content_type)


def values(instances, tag: str):
    return [instance[tag]["Value"][0] for instance in instances]


def shown(entries) -> list[str]:
    return [f"{entry['Sequence']} {entry['Action']} {entry['State']}" for entry in entries]


def test_the_answer_refers_to_the_operation(dicom: Client):
    """202 with id and href; there 200 with what was done, at once since it has ended."""
    dicom.store(file(1), file(2))
    answer = dicom.bulk_update("1.2", PatientName="Seacole^Mary")
    reference = answer.json()
    assert (answer.status_code, set(reference)) == (202, {"id", "href"})
    assert re.fullmatch(r"[0-9a-f]{32}", reference["id"])
    assert reference["href"] == f"{dicom.url}/v2/operations/{reference['id']}"
    operation = requests.get(reference["href"], timeout=30)
    state = operation.json()
    for field in ("createdTime", "lastUpdatedTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z", state.pop(field))
    assert operation.status_code == 200
    assert state == {
        "operationId": reference["id"],
        "type": "update",
        "status": "succeeded",
        "percentComplete": 100,
        "results": {"studyProcessed": 1, "studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 2},
    }


def test_what_the_readme_types(dicom: Client):
    """Its command, with only port and UID replaced."""
    dicom.store(file(1))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^curl [^\n]+bulkUpdate' \\\n[^\n]+$", readme, re.MULTILINE)
    command = command.replace("http://127.0.0.1:7072", dicom.url).replace('"UID"', '"1.2"')
    subprocess.run(["bash", "-euc", command], capture_output=True, check=True, timeout=60)
    assert values(dicom.metadata(), "00081030") == ["another description"]


def test_an_operation_is_told_in_both_versions_of_the_api(dicom: Client):
    """v1 says completed for succeeded; the id may have its hyphens; 404 for another."""
    operation = dicom.bulk_update("1.2", PatientID="P2").json()["id"]
    hyphenated = "-".join((operation[:8], operation[8:12], operation[12:16], operation[16:20], operation[20:]))
    assert dicom.get(f"/v1/operations/{operation}").json()["status"] == "completed"
    assert dicom.get(f"/v2/operations/{hyphenated}").json()["status"] == "succeeded"
    assert dicom.get(f"/v2/operations/{'0' * 32}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/studies/$bulkUpdate", "/v1/partitions/Microsoft.Default/studies/$bulkUpdate"])
def test_v1_has_no_bulk_update(dicom: Client, path):
    """404, as Azure's service answers."""
    assert post(dicom, {"studyInstanceUids": ["1.2"], "changeDataset": NAME}, path).status_code == 404


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_feed_has_an_update_for_each_instance(dicom: Client, version):
    """All entries show the new metadata; those before are replaced. Other studies, and later instances, are not touched."""
    dicom.store(file(1), file(2), dicom_file(SOPInstanceUID="1.8.1", StudyInstanceUID="1.8"))
    dicom.bulk_update("1.2", PatientID="P2", StudyDescription="anew")
    dicom.store(file(3))
    feed = dicom.feed(version)
    assert shown(feed) == [
        "1 create replaced",
        "2 create replaced",
        "3 create current",
        "4 update current",
        "5 update current",
        "6 create current",
    ]
    assert values([entry["Metadata"] for entry in feed], "00100020") == ["P2", "P2", "P1", "P2", "P2", "P1"]
    assert [entry["SopInstanceUid"] for entry in feed] == [
        "1.2.3.1",
        "1.2.3.2",
        "1.8.1",
        "1.2.3.1",
        "1.2.3.2",
        "1.2.3.3",
    ]
    assert feed[3]["Timestamp"] == feed[4]["Timestamp"]
    assert feed[3]["Metadata"]["00081030"] == {"vr": "LO", "Value": ["anew"]}
    assert list(feed[3]["Metadata"]) == sorted(feed[3]["Metadata"])
    assert "FilePath" not in feed[3]


@pytest.mark.parametrize(
    ("steps", "entries"),
    [
        ("create update", ["1 create replaced", "2 update current"]),
        ("create update update", ["1 create replaced", "2 update replaced", "3 update current"]),
        ("create update delete", ["1 create deleted", "2 update deleted", "3 delete deleted"]),
        (
            "create update delete create",
            ["1 create replaced", "2 update replaced", "3 delete replaced", "4 create current"],
        ),
        ("create delete update", ["1 create deleted", "2 delete deleted"]),
    ],
)
def test_states_follow_from_the_current_version(dicom: Client, steps, entries):
    """An update replaces whatever was before it, a delete takes all versions."""
    for step in steps.split():
        match step:
            case "create":
                dicom.store(file(1))
            case "update":
                assert dicom.bulk_update("1.2", PatientID="P2").status_code == 202
            case "delete":
                dicom.delete("/v2/studies/1.2")
    assert shown(dicom.feed()) == entries
    assert [entry["State"] != "deleted" for entry in dicom.feed()] == ["Metadata" in entry for entry in dicom.feed()]


def test_the_first_version_can_be_asked_for(dicom: Client):
    """`msdicom-request-original: true`: what STOW-RS stored, however often it was updated; versions between are gone."""
    dicom.store(file(1), file(2))
    stored = dicom.metadata()
    dicom.bulk_update("1.2", PatientID="P2")
    dicom.bulk_update("1.2", PatientID="P3")
    dicom.store(file(3, PatientID="P4"))
    assert values(dicom.metadata(), "00100020") == ["P3", "P3", "P4"]
    url = f"{dicom.url}{studies_path()}/1.2/metadata"
    assert requests.get(url, headers={"msdicom-request-original": "True"}, timeout=30).json()[:2] == stored
    assert requests.get(url, headers={"msdicom-request-original": "false"}, timeout=30).json() == dicom.metadata()


def test_studies_are_found_by_their_new_attributes(dicom: Client):
    """QIDO-RS tells what they are now, and PatientID matches it."""
    dicom.store(file(1), dicom_file(SOPInstanceUID="1.8.1", StudyInstanceUID="1.8"))
    dicom.bulk_update("1.2", PatientID="P2", PatientName="Seacole^Mary")
    found = dicom.get("/v2/studies").json()
    names = dict(zip(values(found, "0020000D"), values(found, "00100010"), strict=True))
    assert names == {"1.2": {"Alphabetic": "Seacole^Mary"}, "1.8": {"Alphabetic": "Nightingale^Florence"}}
    assert values(dicom.get("/v2/studies", PatientID="P2").json(), "0020000D") == ["1.2"]
    assert values(dicom.get("/v2/studies", PatientID="P1").json(), "0020000D") == ["1.8"]


@pytest.mark.parametrize(
    ("studies", "processed", "updated", "instances"),
    [(["1.2", "1.8"], 2, 2, 3), (["1.2", "1.9"], 2, 1, 2), (["1.9"], 1, 0, 0), (["1.2", "1.2"], 2, 2, 4)],
)
def test_studies_are_counted(dicom: Client, studies, processed, updated, instances):
    """A study that is not there is processed, not updated, and no fault; one named twice is updated twice."""
    dicom.store(file(1), file(2), dicom_file(SOPInstanceUID="1.8.1", StudyInstanceUID="1.8"))
    operation = dicom.bulk_update(*studies, PatientID="P2").json()["id"]
    results = dicom.get(f"/v2/operations/{operation}").json()["results"]
    assert [results[name] for name in ("studyProcessed", "studyUpdated", "instanceUpdated")] == [
        processed,
        updated,
        instances,
    ]
    assert len([entry for entry in dicom.feed() if entry["Action"] == "update"]) == instances


def test_an_update_without_changes_is_one_all_the_same(dicom: Client):
    """The instances get a version like the one before, as in Azure's service."""
    dicom.store(file(1))
    before = dicom.metadata()
    assert dicom.bulk_update("1.2").status_code == 202
    assert dicom.metadata() == before
    assert shown(dicom.feed()) == ["1 create replaced", "2 update current"]


@pytest.mark.parametrize(
    ("tag", "attribute", "kept"),
    [
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]}, None),
        ("00100021", {"vr": "LO", "Value": ["HOSPITAL"]}, None),
        ("00100040", {"vr": "CS", "Value": ["F"]}, None),
        ("00100030", {"vr": "DA", "Value": ["18200512"]}, None),
        ("00101020", {"vr": "DS", "Value": [1.75]}, None),
        ("00101030", {"vr": "DS", "Value": ["70.5"]}, {"vr": "DS", "Value": [70.5]}),
        ("001021f0", {"vr": "LO", "Value": ["none"]}, None),
        ("00102154", {"vr": "SH", "Value": ["112", "911"]}, None),
        ("00080050", {"vr": "SH", "Value": ["ACC-2"]}, None),
        ("00080090", {"vr": "PN", "Value": [{"Alphabetic": "Dupuytren^Guillaume"}]}, None),
    ],
)
def test_patient_and_study_attributes_can_be_changed(dicom: Client, tag, attribute, kept):
    """Those of the modules that Azure names, absent or present before; they are kept as STOW-RS would."""
    dicom.store(file(1))
    assert post(dicom, {"studyInstanceUids": ["1.2"], "changeDataset": {tag: attribute}}).status_code == 202
    assert dicom.metadata()[0][tag.upper()] == (kept or attribute)


@pytest.mark.parametrize(
    ("tag", "attribute", "fault"),
    [
        ("0020000D", {"vr": "UI", "Value": ["1.2.x"]}, "(0020,000D) - not a valid UI"),
        ("0020000D", {"vr": "UI", "Value": []}, "(0020,000D) - a value cannot be emptied"),
        ("0020000D", {"vr": "UI", "Value": ["1.2.8", "1.2.9"]}, "(0020,000D) - more than one value"),
        ("00080060", {"vr": "CS", "Value": ["CT"]}, "(0008,0060) - a bulk update cannot change this attribute"),
        ("00080020", {"vr": "DA", "Value": ["20260101"]}, "(0008,0020) - a bulk update cannot change this attribute"),
        ("00101002", {"vr": "SQ", "Value": [{}]}, "(0010,1002) - a bulk update cannot change this attribute"),
        (
            "PatientID",
            {"vr": "LO", "Value": ["P2"]},
            "(a key that is no tag) - a bulk update cannot change this attribute",
        ),
        ("00100020", {"vr": "SH", "Value": ["P2"]}, '(0010,0020) - not {"vr": "LO", "Value": [...]}'),
        ("00100020", {"vr": "LO"}, '(0010,0020) - not {"vr": "LO", "Value": [...]}'),
        ("00100020", {"vr": "LO", "Value": "P2"}, '(0010,0020) - not {"vr": "LO", "Value": [...]}'),
        ("00100020", ["P2"], '(0010,0020) - not {"vr": "LO", "Value": [...]}'),
        ("00100020", {"vr": "LO", "Value": []}, "(0010,0020) - a value cannot be emptied"),
        ("00100020", {"vr": "LO", "Value": [""]}, "(0010,0020) - a value cannot be emptied"),
        ("00100010", {"vr": "PN", "Value": [{"Alphabetic": ""}]}, "(0010,0010) - a value cannot be emptied"),
        ("00100020", {"vr": "LO", "Value": [None]}, "(0010,0020) - not a valid LO"),
        ("00100020", {"vr": "LO", "Value": [7]}, "(0010,0020) - not a valid LO"),
        ("00100020", {"vr": "LO", "Value": ["P" * 65]}, "(0010,0020) - not a valid LO"),
        ("00100020", {"vr": "LO", "Value": ["P2", "P3"]}, "(0010,0020) - more than one value"),
        ("00100020", {"vr": "LO", "Value": ["P2\\P3"]}, "(0010,0020) - more than one value"),
        ("00100010", {"vr": "PN", "Value": ["Seacole^Mary"]}, "(0010,0010) - not a valid PN"),
        ("00100030", {"vr": "DA", "Value": ["1820-05-12"]}, "(0010,0030) - not a valid DA"),
        ("00100040", {"vr": "CS", "Value": ["female"]}, "(0010,0040) - not a valid CS"),
        ("00101020", {"vr": "DS", "Value": ["tall"]}, "(0010,1020) - not a valid DS"),
    ],
)
def test_an_attribute_that_cannot_be_changed_so_is_named(dicom: Client, tag, attribute, fault):
    """400 with FailedAttributesSequence: the tag, never the value; nothing is changed, not even what is right."""
    dicom.store(file(1))
    answer = post(dicom, {"studyInstanceUids": ["1.2"], "changeDataset": NAME | {tag: attribute}})
    assert answer.status_code == 400
    items = answer.json()["00741048"]["Value"]
    assert [item["00000902"]["Value"] for item in items] == [[f"DICOM100: {fault}"]]
    assert shown(dicom.feed()) == ["1 create current"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"\xff", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        ([], "the body is not a JSON object with studyInstanceUids and changeDataset"),
        ({"changeDataset": NAME}, "studyInstanceUids must be an array of 1 to 50 UIDs"),
        ({"studyInstanceUids": [], "changeDataset": NAME}, "studyInstanceUids must be an array of 1 to 50 UIDs"),
        ({"studyInstanceUids": "1.2", "changeDataset": NAME}, "studyInstanceUids must be an array of 1 to 50 UIDs"),
        (
            {"studyInstanceUids": ["1.2"] * 51, "changeDataset": NAME},
            "studyInstanceUids must be an array of 1 to 50 UIDs",
        ),
        ({"studyInstanceUids": ["1.2", "1 2"], "changeDataset": NAME}, "studyInstanceUids[1] is not a UID"),
        ({"studyInstanceUids": [12], "changeDataset": NAME}, "studyInstanceUids[0] is not a UID"),
        (
            {"studyInstanceUids": ["1.2"], "seriesInstanceUid": "1 2", "changeDataset": NAME},
            "seriesInstanceUid is not a UID",
        ),
        (
            {"studyInstanceUids": ["1.2"], "seriesInstanceUid": "1.2.3", "sopInstanceUid": 7, "changeDataset": NAME},
            "sopInstanceUid is not a UID",
        ),
        (
            {"studyInstanceUids": ["1.2"], "sopInstanceUid": "1.2.3.1", "changeDataset": NAME},
            "sopInstanceUid needs seriesInstanceUid",
        ),
        (
            {"studyInstanceUids": ["1.2", "1.8"], "seriesInstanceUid": "1.2.3", "changeDataset": NAME},
            "seriesInstanceUid needs studyInstanceUids of one study",
        ),
        ({"studyInstanceUids": ["1.2"]}, "changeDataset must be an object of the DICOM JSON model"),
        (
            {"studyInstanceUids": ["1.2"], "changeDataset": [NAME]},
            "changeDataset must be an object of the DICOM JSON model",
        ),
    ],
)
def test_a_request_that_is_none_is_refused(dicom: Client, body, message):
    """400 with a plain message that says what is wrong."""
    dicom.store(file(1))
    answer = post(dicom, body)
    assert (answer.status_code, answer.text) == (400, message)
    assert shown(dicom.feed()) == ["1 create current"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json; charset=utf-8", 202), (None, 202), ("application/dicom+json", 415), ("text/plain", 415)],
)
def test_the_body_is_json(dicom: Client, content_type, status):
    """application/json, which may also be left unsaid; 415 for anything else."""
    body = {"studyInstanceUids": ["1.2"] * 50, "changeDataset": NAME}
    assert post(dicom, body, content_type=content_type).status_code == status

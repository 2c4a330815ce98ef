"""UIDs changed by the local DICOM service's bulk update, as Azure's page "Update DICOM files" has it."""

import pytest
import requests

from tests.integration.dicom_service_client import Client, dicom_file, studies_path

OTHER = "1.8"
UIDS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}
FIELDS = ("StudyInstanceUid", "SeriesInstanceUid", "SopInstanceUid")


def file(key: str, **attributes) -> bytes:
    """Instance by `study/series/instance`."""
    study, series, instance = key.split("/")
    return dicom_file(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance, **attributes)


def update(service: Client, where: str, partition: str | None = None, studies: tuple[str, ...] = (), **uids: str):
    """`where`: a study, study/series or study/series/instance; `uids`: the new ones by their level."""
    study, *below = where.split("/")
    asked = dict(zip(("seriesInstanceUid", "sopInstanceUid"), below, strict=False))
    changes = {UIDS[level]: {"vr": "UI", "Value": [uid]} for level, uid in uids.items() if level in UIDS}
    if "name" in uids:
        changes["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": uids["name"]}]}
    body = {"studyInstanceUids": [study, *studies], **asked, "changeDataset": changes}
    return requests.post(f"{service.url}{studies_path(partition)}/$bulkUpdate", json=body, timeout=60)


def results(service: Client, answer):
    operation = service.get(f"/v2/operations/{answer.json()['id']}").json()
    return operation["status"], operation["results"]


def keys(service: Client, partition: str | None = None) -> list[str]:
    """All instances that there are, as WADO-RS has them: it agrees with the UIDs in the metadata."""
    found = []
    for study in sorted(one["0020000D"]["Value"][0] for one in service.get(studies_path(partition)).json()):
        for one in service.metadata(f"{studies_path(partition)}/{study}"):
            uids = [one[tag]["Value"][0] for tag in UIDS.values()]
            assert uids[0] == study
            url = "{}/{}/series/{}/instances/{}".format(studies_path(partition), *uids)
            assert service.metadata(url) == [one]
            found.append("/".join(uids))
    return found


def shown(entries) -> list[str]:
    return [f"{entry['Action']} {'/'.join(entry[field] for field in FIELDS)} {entry['State']}" for entry in entries]


STORED = ["1.2/1.3/1", "1.2/1.3/2", "1.2/1.4/1", "1.8/1.3/1"]
MOVES = [
    # what is updated, the new UIDs, the instances afterwards
    ("1.2",         {"study": "1.9"},                                    ["1.8/1.3/1", "1.9/1.3/1", "1.9/1.3/2", "1.9/1.4/1"]),
    ("1.8",         {"series": "1.5"},                                   ["1.2/1.3/1", "1.2/1.3/2", "1.2/1.4/1", "1.8/1.5/1"]),
    ("1.8",         {"study": "1.9", "series": "1.5"},                   ["1.2/1.3/1", "1.2/1.3/2", "1.2/1.4/1", "1.9/1.5/1"]),
    ("1.2/1.3",     {"series": "1.5"},                                   ["1.2/1.5/1", "1.2/1.5/2", "1.2/1.4/1", "1.8/1.3/1"]),
    ("1.2/1.3",     {"study": "1.2", "series": "1.5"},                   ["1.2/1.5/1", "1.2/1.5/2", "1.2/1.4/1", "1.8/1.3/1"]),
    ("1.2/1.3",     {"study": "1.9", "series": "1.5"},                   ["1.2/1.4/1", "1.8/1.3/1", "1.9/1.5/1", "1.9/1.5/2"]),
    ("1.2/1.4",     {"study": "1.8", "series": "1.4"},                   ["1.2/1.3/1", "1.2/1.3/2", "1.8/1.4/1", "1.8/1.3/1"]),
    ("1.2/1.3/2",   {"instance": "7"},                                   ["1.2/1.3/1", "1.2/1.3/7", "1.2/1.4/1", "1.8/1.3/1"]),
    ("1.2/1.3/2",   {"study": "1.2", "series": "1.4", "instance": "2"},  ["1.2/1.3/1", "1.2/1.4/2", "1.2/1.4/1", "1.8/1.3/1"]),
    ("1.2/1.3/2",   {"study": "1.9", "series": "1.5", "instance": "7"},  ["1.2/1.3/1", "1.2/1.4/1", "1.8/1.3/1", "1.9/1.5/7"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "uids", "after"), MOVES)
def test_what_is_named_is_known_by_its_new_uids(dicom: Client, what, uids, after):
    """Its old UIDs are gone, with no entry that says so; the entries that tell of them stay as they were."""
    dicom.store(*map(file, STORED))
    before = dicom.feed()
    answer = update(dicom, what, **uids)
    assert answer.status_code == 202
    assert keys(dicom) == after
    gone, new = sorted(set(STORED) - set(after)), [key for key in after if key not in STORED]
    status, told = results(dicom, answer)
    assert (status, told["studyUpdated"], told["instanceUpdated"]) == ("succeeded", 1, len(new))
    assert [
        dicom.get("/v2/studies/{}/series/{}/instances/{}/metadata".format(*key.split("/"))).status_code for key in gone
    ] == [404] * len(gone)
    entries = dicom.feed()
    assert entries[: len(STORED)] == before
    assert shown(entries)[len(STORED) :] == [f"update {key} current" for key in new]
    assert shown(dicom.feed("v1")) == shown(entries)
    for entry in entries[len(STORED) :]:
        assert [entry["Metadata"][tag]["Value"] for tag in UIDS.values()] == [[entry[field]] for field in FIELDS]


def test_a_study_under_its_old_uid_is_gone(dicom: Client):
    """404 by WADO-RS, 204 by QIDO-RS; the first version is had by the new UIDs alone, and says the old ones."""
    dicom.store(file("1.2/1.3/1"))
    update(dicom, "1.2", study="1.9", name="Seacole^Mary")
    assert dicom.get("/v2/studies/1.2/metadata").status_code == 404
    assert [dicom.get(f"/v2/studies/1.2/{what}").status_code for what in ("series", "series/1.3/instances")] == [
        204,
        204,
    ]
    assert dicom.delete("/v2/studies/1.2").status_code == 404
    url, original = f"{dicom.url}/v2/studies/1.9/metadata", {"msdicom-request-original": "true"}
    (first,), (now,) = requests.get(url, headers=original, timeout=30).json(), dicom.metadata("/v2/studies/1.9")
    assert (first["0020000D"]["Value"], now["0020000D"]["Value"]) == (["1.2"], ["1.9"])
    assert now["00100010"]["Value"] == [{"Alphabetic": "Seacole^Mary"}]


STEPS = [
    # what is done, what the feed shows
    (["update 1.2 name=A", "update 1.2 study=1.9"],
     ["create 1.2/1.3/1 replaced", "update 1.2/1.3/1 current", "update 1.9/1.3/1 current"]),
    (["update 1.2 study=1.9", "update 1.9 name=A"],
     ["create 1.2/1.3/1 current", "update 1.9/1.3/1 replaced", "update 1.9/1.3/1 current"]),
    (["update 1.2 study=1.9", "delete 1.9"],
     ["create 1.2/1.3/1 current", "update 1.9/1.3/1 deleted", "delete 1.9/1.3/1 deleted"]),
    (["update 1.2 study=1.9", "store 1.2/1.3/1"],
     ["create 1.2/1.3/1 replaced", "update 1.9/1.3/1 current", "create 1.2/1.3/1 current"]),
    (["update 1.2 study=1.9", "store 1.2/1.3/1", "delete 1.2"],
     ["create 1.2/1.3/1 deleted", "update 1.9/1.3/1 current", "create 1.2/1.3/1 deleted", "delete 1.2/1.3/1 deleted"]),
    (["update 1.2 study=1.9", "update 1.9 study=1.2"],
     ["create 1.2/1.3/1 replaced", "update 1.9/1.3/1 current", "update 1.2/1.3/1 current"]),
    (["update 1.2 study=1.9", "update 1.9 study=1.2", "delete 1.2"],
     ["create 1.2/1.3/1 deleted", "update 1.9/1.3/1 current", "update 1.2/1.3/1 deleted", "delete 1.2/1.3/1 deleted"]),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "entries"), STEPS, ids=[", ".join(row[0]) for row in STEPS])
def test_entries_of_old_uids_stay_as_they_were(dicom: Client, steps, entries):
    """Until an instance has these UIDs anew."""
    dicom.store(file("1.2/1.3/1"))
    for step in steps:
        match step.split():
            case ["update", what, change]:
                level, value = change.split("=")
                assert update(dicom, what, **{level: value}).status_code == 202
            case ["store", key]:
                assert dicom.store(file(key)).status_code == 200
            case ["delete", study]:
                assert dicom.delete(f"/v2/studies/{study}").status_code == 204
    assert shown(dicom.feed()) == entries
    assert [entry["State"] != "deleted" for entry in dicom.feed()] == ["Metadata" in entry for entry in dicom.feed()]
    for entry in dicom.feed():
        assert entry["State"] == "deleted" or entry["Metadata"]["0020000D"]["Value"] == [entry["StudyInstanceUid"]]


FAILED = [
    # what is updated, the new UIDs, why the operation fails
    ("1.2",       {"study": "1.2"},                                   "the new UIDs exist already"),
    ("1.2",       {"study": "1.8"},                                   "the new UIDs exist already"),
    ("1.8",       {"study": "1.2"},                                   "the new UIDs exist already"),
    ("1.2/1.4",   {"series": "1.3"},                                  "the new UIDs exist already"),
    ("1.2/1.3",   {"study": "1.8", "series": "1.3"},                  "the new UIDs exist already"),
    ("1.2/1.3/2", {"instance": "1"},                                  "the new UIDs exist already"),
    ("1.2/1.3/2", {"study": "1.2", "series": "1.4", "instance": "1"}, "the new UIDs exist already"),
    ("1.2",       {"series": "1.5"},                                  "one SeriesInstanceUID for 2 series; name one by seriesInstanceUid"),
    ("1.2",       {"study": "1.9", "series": "1.5"},                  "one SeriesInstanceUID for 2 series; name one by seriesInstanceUid"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "uids", "why"), FAILED)
def test_an_operation_that_cannot_be_fails(dicom: Client, what, uids, why):
    """And changes nothing, not even what else it was to change."""
    dicom.store(*map(file, STORED))
    before = dicom.feed()
    answer = update(dicom, what, name="Seacole^Mary", **uids)
    assert answer.status_code == 202
    assert results(dicom, answer) == (
        "failed",
        {
            "studyProcessed": 1,
            "studyUpdated": 0,
            "studyFailed": 1,
            "instanceUpdated": 0,
            "errors": [f"Failed to update instances for study {what.split('/')[0]}: {why}"],
        },
    )
    assert dicom.get(f"/v1/operations/{answer.json()['id']}").json()["status"] == "failed"
    assert (dicom.feed(), keys(dicom)) == (before, STORED)


REFUSED = [
    # what is updated, the new UIDs, the message
    ("1.2",       {"instance": "7"},                 "(0008,0018) needs seriesInstanceUid and sopInstanceUid"),
    ("1.2/1.3",   {"instance": "7"},                 "(0008,0018) needs seriesInstanceUid and sopInstanceUid"),
    ("1.2/1.3",   {"study": "1.9"},                  "the UIDs that can be changed of one series are (0020,000E) or (0020,000D) with (0020,000E)"),
    ("1.2/1.3/2", {"study": "1.9"},                  "the UIDs that can be changed of one instance are (0008,0018) or (0008,0018) with (0020,000D) with (0020,000E)"),
    ("1.2/1.3/2", {"series": "1.9"},                 "the UIDs that can be changed of one instance are (0008,0018) or (0008,0018) with (0020,000D) with (0020,000E)"),
    ("1.2/1.3/2", {"series": "1.9", "instance": "7"}, "the UIDs that can be changed of one instance are (0008,0018) or (0008,0018) with (0020,000D) with (0020,000E)"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "uids", "message"), REFUSED)
def test_uids_that_are_not_of_what_is_named_are_refused(dicom: Client, what, uids, message):
    """400, as Azure's table has it; what it leaves open is refused too."""
    dicom.store(*map(file, STORED))
    answer = update(dicom, what, **uids)
    assert (answer.status_code, answer.text) == (400, message)
    assert keys(dicom) == STORED


def test_uids_are_changed_in_one_study_at_a_time(dicom: Client):
    """400, and nothing is changed."""
    dicom.store(*map(file, STORED))
    answer = update(dicom, "1.2", studies=(OTHER,), study="1.9")
    assert (answer.status_code, answer.text) == (400, "UIDs can be changed in one study at a time")
    assert keys(dicom) == STORED


@pytest.mark.parametrize(
    ("what", "updated"), [("1.2", 3), ("1.2/1.3", 2), ("1.2/1.3/2", 1), ("1.2/1.3/9", 0), ("1.9", 0)]
)
def test_other_attributes_too_can_be_changed_of_a_part(dicom: Client, what, updated):
    """Of a series, of an instance; what is not there is no fault, and is not updated."""
    dicom.store(*map(file, STORED))
    status, told = results(dicom, update(dicom, what, name="Seacole^Mary"))
    assert (status, told["instanceUpdated"], told["studyUpdated"]) == ("succeeded", updated, bool(updated))
    named = [one["00100010"]["Value"][0]["Alphabetic"] for one in dicom.metadata("/v2/studies/1.2")]
    assert named.count("Seacole^Mary") == updated
    assert keys(dicom) == STORED


def test_another_partition_may_have_the_uids(dicom: Client):
    """A partition is a service of its own."""
    dicom.store(file("1.2/1.3/1"))
    dicom.store(file("1.9/1.3/1"), partition="north")
    assert results(dicom, update(dicom, "1.2", study="1.9"))[0] == "succeeded"
    assert (keys(dicom), keys(dicom, "north")) == (["1.9/1.3/1"], ["1.9/1.3/1"])

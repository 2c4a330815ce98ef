"""One study over HTTP, on the whole stack: both sides, what a rebuild would change, and no patient where none may be."""

from pathlib import Path

import pytest
import requests

from tests.integration.dicom_service_client import studies_path


def put(api, resource, **changes):
    url = f"{api.stack.fhir_url}/{resource['resourceType']}/{resource['id']}"
    requests.put(url, json=resource | changes, timeout=30).raise_for_status()


def shown(api, number, query=""):
    answer = api.get(f"/study/1.2.{number}{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def log(api):
    return (Path(api.stack.options.directory) / "functions.log").read_text()


def test_a_study_on_both_sides(api):
    """With its patient, who is in this answer and nowhere else; no cache keeps it."""
    api.store(70, PatientID="Plantagenet-70", PatientName="Plantagenet^Richard", StudyDescription="Chest")
    api.drained()
    answer = api.get("/study/1.2.70")
    study = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert (study["inDicom"], study["inFhir"], study["changes"], study["faults"]) == (True, True, [], [])
    said = {line["name"]: (line["dicom"], line["fhir"], line["mark"]) for line in study["lines"]}
    assert said["PatientID"] == (["Plantagenet-70"], ["Plantagenet-70"], "same")
    assert said["PatientName"] == (["Plantagenet, Richard"], ["Plantagenet, Richard"], "same")
    assert said["Instances"] == (["2"], ["2"], "same")
    assert [(one["seriesInstanceUID"], one["dicom"]["modality"]) for one in study["series"]] == [("1.2.70.1", "CT")]
    links = {one["reference"].split("/")[0]: one["url"] for one in study["resources"]}
    assert requests.get(links["ImagingStudy"], timeout=30).json() == api.study(70)
    assert requests.get(links["Patient"], timeout=30).json()["identifier"] == [{"value": "Plantagenet-70"}]
    lines = [line for line in log(api).splitlines() if "study viewed" in line]
    assert len(lines) == 1
    assert lines[0].endswith('study viewed {"StudyInstanceUID":"1.2.70"}')
    assert "Plantagenet" not in log(api)


def test_the_dry_run_shows_elements_and_the_rebuild_changes_them(api):
    """What was, and what is to be; a look writes nothing."""
    api.store(71, StudyDescription="Chest", SeriesDescription="Thin")
    api.drained()
    held = api.study(71)
    put(api, held, description="Knee", series=[held["series"][0] | {"description": "Thick"}])
    (change,) = shown(api, 71)["changes"]
    assert (change["method"], change["url"]) == ("PUT", f"ImagingStudy/{held['id']}")
    assert [(one["path"], one["before"], one["after"]) for one in change["elements"]] == [
        ("description", "Knee", "Chest"),
        ("series.where(uid = '1.2.71.1').description", "Thick", "Thin"),
    ]
    assert api.study(71)["meta"]["versionId"] == "2"
    assert api.replayed({"study": "1.2.71"})["progress"]["written"] == 2
    assert shown(api, 71)["changes"] == []
    assert api.study(71)["description"] == "Chest"


def test_a_study_in_a_partition(api):
    """Another study than that of the default one."""
    api.store(72, partition="north")
    api.drained()
    assert (shown(api, 72)["inDicom"], shown(api, 72)["inFhir"]) == (False, False)
    study = shown(api, 72, "?partition=north")
    assert (study["partition"], study["inDicom"], study["inFhir"], study["changes"]) == ("north", True, True, [])


def test_a_study_that_is_gone(api):
    """From the DICOM service while the app was not looking: a rebuild would delete it."""
    api.store(73)
    api.drained()
    held = api.study(73)
    requests.delete(f"{api.stack.dicom_url}{studies_path(None)}/1.2.73", timeout=30)
    api.drained()
    again = {name: value for name, value in held.items() if name != "id"}
    requests.post(f"{api.stack.fhir_url}/ImagingStudy", json=again, timeout=30).raise_for_status()
    study = shown(api, 73)
    assert (study["inDicom"], study["inFhir"], study["changes"][0]["method"]) == (False, True, "DELETE")


def test_rows_of_the_study(api):
    """And what a rebuild would record again."""
    api.store(74, instances=1, PatientID=None)
    api.drained()
    study = shown(api, 74)
    assert [row["studyInstanceUID"] for row in study["errors"]] == ["1.2.74"]
    assert "PatientID" in study["failures"][0]
    assert (study["inFhir"], study["changes"]) == (False, [])


@pytest.mark.parametrize("text", ["Plantagenet-75", "Accession-75", "1.2.75"])
def test_a_study_is_found(api, text):
    """By each of the three, in both; what was asked for is in no log."""
    if api.study(75) is None:
        api.store(75, PatientID="Plantagenet-75", AccessionNumber="Accession-75", StudyDescription="Chest")
        api.drained()
    answer = api.call("POST", "/study", json={"text": text})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json() == {
        "studies": [
            {
                "studyInstanceUID": "1.2.75",
                "partition": "Microsoft.Default",
                "inDicom": True,
                "inFhir": True,
                "started": "2026-01-31",
                "description": "Chest",
            }
        ],
        "isAll": True,
        "faults": [],
    }
    assert "Plantagenet" not in log(api)
    assert "Accession-75" not in log(api)


@pytest.mark.parametrize(
    "path", ["/study/1.x", "/study/1.2.3?partition=a%20b", "/study/1.2.3?patients=1", "/study/1.2.3?x=1"]
)
def test_what_cannot_be_asked_for(api, path):
    """A problem that names the parameter, and not its value."""
    answer = api.get(path)
    assert (answer.status_code, len(answer.json()["errors"])) == (400, 1)


def test_nobody_looks_without_the_key(api):
    """The page itself has no data in it."""
    assert requests.get(f"{api.stack.functions_url}/api/study/1.2.70", timeout=30).status_code == 401
    page = requests.get(f"{api.stack.functions_url}/api/dashboard/study", timeout=30)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")

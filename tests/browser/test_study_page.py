"""The page of one study: what a person sees of both sides, and does about it, on the real stack."""

import pytest
import requests

from tests.integration.faults.proxy import Fault

pytest.importorskip("selenium", reason="make test-browser installs it")

KEPT = "return [Object.keys(sessionStorage).join(), localStorage.length, document.cookie, navigator.serviceWorker?.controller]"
NONE = "\N{EN DASH}"


def put(api, resource, **changes):
    url = f"{api.stack.fhir_url}/{resource['resourceType']}/{resource['id']}"
    requests.put(url, json=resource | changes, timeout=30).raise_for_status()


@pytest.fixture
def study(page, api):
    """The page without a study, with the right key. No fault is left to the next test."""
    page.driver.get(f"{api.stack.functions_url}/api/dashboard/study")
    page.by_id("ask-text").send_keys("1.2")
    page.press("Find")
    page.enter(api.stack.function_key)
    page.awaited(lambda: page.by_id("ask").is_displayed())
    yield page
    api.fhir.faults.clear()


def look(page, api, number, *words):
    page.driver.get(f"{api.stack.functions_url}/api/dashboard/study?uid=1.2.{number}")
    page.awaited_text("verdict", *words)


def test_a_study_that_differs_is_rebuilt(study, api):
    """What differs is marked, with what it is and what it is to be; once rebuilt nothing differs."""
    api.store(900, StudyDescription="Chest", PatientID="Plantagenet-900", PatientName="Plantagenet^Maud")
    api.drained()
    held = api.study(900)
    series = held["series"][0]
    put(
        api,
        held,
        description="Knee",
        series=[{**series, "instance": series["instance"][:1]}, {"uid": "1.2.900.7", "modality": {"code": "MR"}}],
    )
    look(study, api, 900, "FHIR differs from DICOM", "change")
    lines = {row[0].split("\n")[0]: row[1:] for row in study.rows("#study-lines")}
    assert lines["PatientName"] == ["Plantagenet, Maud", "Plantagenet, Maud", "same"]
    assert lines["StudyDescription"][2] == "differs"
    changes = {row[0]: row[1:] for row in study.rows("#study-changes")}
    assert changes["description"] == ["Knee", "Chest"]
    assert changes["series.where(uid = '1.2.900.1').instance.where(uid = '1.2.900.1.2')"][0] == NONE
    assert len(study.rows("#study-series")) == 2
    study.at_all_widths("study-differs")
    study.press("Rebuild the study")
    study.awaited_text("rebuild-state", "done")
    study.awaited_text("verdict", "FHIR says what DICOM holds")
    assert not study.by_id("rebuild").is_enabled()
    assert api.study(900)["description"] == "Chest"
    study.is_well_made("study-same")


def test_a_study_is_found_by_what_is_at_hand(study, api):
    """A PatientID, an accession number or a UID; none of them is in an address, and nothing is kept."""
    api.store(901, 902, PatientID="Plantagenet-901")
    api.store(903, AccessionNumber="Tudor-903", PatientID="Tudor")
    api.drained()

    def find(text):
        study.by_id("ask-text").clear()
        study.by_id("ask-text").send_keys(text)
        study.press("Find")

    find("Plantagenet-901")
    study.awaited(lambda: len(study.rows("#found")) == 2)
    study.at_all_widths("study-found")
    study.press("Show 1.2.902")
    study.awaited_text("study-title", "1.2.902")
    assert study.by_id("ask-text").get_attribute("value") == ""
    assert study.text("found") == ""
    find("Tudor-903")
    study.awaited_text("study-title", "1.2.903")
    find("1.2.901")
    study.awaited_text("study-title", "1.2.901")
    find("Nobody")
    study.awaited_text("found", "No study has this")
    find("1.2.999999")
    study.awaited_text("verdict", "neither DICOM nor FHIR")
    study.is_well_made("study-nowhere")
    study.driver.back()
    study.awaited_text("study-title", "1.2.901")
    asked = study.script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert asked
    assert not [url for url in [study.driver.current_url, *asked] if "Plantagenet" in url or "Tudor" in url]
    assert study.script(KEPT) == ["dicom-cast-function-key", 0, "", None]


def test_fhir_is_down(study, api):
    """What DICOM holds is shown, and nothing is said of differences."""
    api.store(904)
    api.drained()
    api.fhir.faults.append(Fault("GET|POST|PUT", "/fhir", times=10**9))
    look(study, api, 904, "Not compared")
    study.at_all_widths("study-fhir-down")


def test_the_dashboard_leads_to_a_study(board, api):
    """From an error row, and from its header; and back."""
    api.store(905, instances=1, PatientID=None)
    api.drained()
    board.awaited(lambda: board.driver.find_element("css selector", "#reasons a[href$='uid=1.2.905']")).click()
    board.awaited_text("verdict", "cannot be synced")
    assert "PatientID" in board.text("study-rows")
    board.driver.find_element("link text", "To the dashboard").click()
    board.awaited(lambda: board.by_id("to-studies").is_displayed())
    board.by_id("to-studies").click()
    board.awaited(lambda: board.by_id("ask").is_displayed())

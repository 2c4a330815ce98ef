"""The dashboard: what a person at night sees and can do, on the real stack."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import requests
from azure.data.tables import TableServiceClient

from shared.clients.azure import replay_table
from shared.clients.azure.error_tables import ErrorTables
from shared.clients.azure.open_rows import TABLE
from shared.clients.azure.tables import Tables
from shared.model.failures import ErrorTable, FailedEntry
from shared.model.replay import Replay, ReplayError, ReplayRequest, ReplayState, SequenceRange
from tests.integration.faults.proxy import Fault, frozen

pytest.importorskip("selenium", reason="make test-browser installs it")
from selenium.webdriver.common.keys import Keys

STATUSES = "return performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/status')).length"

HAS_BAR = """
const plot = document.querySelector("#throughput-plot canvas");
const copy = new OffscreenCanvas(plot.width, plot.height).getContext("2d");
copy.drawImage(plot, 0, 0);
const pixels = copy.getImageData(0, 0, plot.width, plot.height).data;
for (let at = 0; at < pixels.length; at += 4) if (pixels[at] === 0x2f && pixels[at + 1] === 0x7f && pixels[at + 2] === 0x86) return true;
return false;
"""
"""Whether the colour of entries is seen in the plot of throughput."""


def slowly(content):
    """Answers of a FHIR server that has much to do."""
    time.sleep(3)
    return content


def test_a_fresh_system(page, fresh_api):
    """The key is asked for once, kept in this tab alone, and in no URL; then all is well and empty."""
    page.open(fresh_api.stack.functions_url)
    policy = requests.get(page.driver.current_url, timeout=30).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), (
        "what `page` watches in every test"
    )
    page.awaited_text("light", "Healthy")
    page.at_all_widths("key")
    page.enter("wrong")
    page.awaited_text("key-message", "not taken")
    page.enter(fresh_api.stack.function_key)
    page.awaited_text("light", "Healthy: caught up")
    page.awaited_text("state", "Caught up", "all of the change feed")
    page.awaited(lambda: page.tile("Lag") == "0 entries")
    page.awaited_text("lag-summary", "0 entries")
    colours = []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        colours.append(page.by_id("now").value_of_css_property("color"))
    assert colours == ["rgba(27, 36, 48, 1)", "rgba(230, 235, 241, 1)"]
    page.at_all_widths("fresh")
    page.driver.refresh()
    page.awaited_text("now", "Watermark")
    assert not page.by_id("key-form").is_displayed()
    assert fresh_api.stack.function_key not in page.driver.current_url
    asked = page.script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert asked
    assert not any(fresh_api.stack.function_key in url for url in asked)
    assert page.script("return localStorage.length + document.cookie.length") == 0


ROWS = {
    f"1.2.826.0.1.3680043.8.498.{number}{'0123456789' * 3}": rows
    for number, rows in zip(range(10, 17), (180, 120, 90, 60, 40, 25, 10), strict=True)
}
"""By StudyInstanceUID, each as long as those of real devices; the study that was seen last stands last."""
HALF_A_SCREEN, OF_A_STUDY = 370, 200
"""CSS pixels on a phone: the total and what to do; of each study five lines of text, and buttons for a finger."""


def plant(api, rows_by_study):
    """Open rows of instances without PatientID, as the sync writes them; each study a minute after the one before."""
    seen = datetime.now(UTC) - timedelta(hours=1)
    with TableServiceClient.from_connection_string(api.stack.storage_connection) as service:
        store = ErrorTables(Tables(service, "", (*ErrorTable, TABLE)), lambda: seen)
        store.begin()
        for number, (study, rows) in enumerate(rows_by_study.items(), 1):
            seen += timedelta(minutes=1)
            store.record([without_patient_id(study, number * 1000 + instance) for instance in range(rows)])


def without_patient_id(study, sequence):
    uids = (study, f"{study}.1", f"{study}.1.{sequence}")
    told = "(0010,0020) PatientID (LO): required, and missing or empty"
    return FailedEntry(ErrorTable.DICOM, sequence, *uids, "InvalidDicomTagError", told)


def test_525_rows_of_7_studies(page, fresh_api):
    """Seven lines with their counts, newest first, and the total; on a phone the page grows by the lines alone."""
    page.become(390, mobile=True)
    page.driver.get(f"{fresh_api.stack.functions_url}/api/dashboard#key={fresh_api.stack.function_key}")
    page.awaited_text("reasons", "No row is open")
    height = page.script("return document.documentElement.scrollHeight")
    plant(fresh_api, ROWS)
    page.driver.refresh()
    page.awaited_text("reasons", "525 open rows, 1 reason", "525 rows of 7 studies")
    page.awaited_text("state", "Caught up", "525 open rows are of entries that were not synced", "What to do: look at")
    page.script("for (const one of document.querySelectorAll('#reasons details')) one.open = true")
    told = [(row[0].split("\n")[0], row[1]) for row in page.rows("#reasons")]
    assert told == [(study, str(rows)) for study, rows in reversed(ROWS.items())]
    grown = page.script("return document.documentElement.scrollHeight") - height
    assert grown <= HALF_A_SCREEN + len(ROWS) * OF_A_STUDY
    page.at_all_widths("525-rows", is_judged=False)
    fresh_api.stack.stop()  # it would tick on beside the tests that follow


def test_a_link_that_carries_the_key(page, api):
    """As `make run` prints it: the page opens, and the key stays neither in the address nor in the history."""
    page.driver.get(f"{api.stack.functions_url}/api/dashboard#key={api.stack.function_key}")
    page.awaited_text("now", "Watermark")
    assert page.driver.current_url == f"{api.stack.functions_url}/api/dashboard"
    assert "UTC" in page.text("zone")


def test_a_running_tick(board, api, monkeypatch):
    """How long it is at work, and of how many entries; the lag of now is in the plot before it ends."""
    monkeypatch.setattr(api.fhir, "rewrite", slowly)
    api.store(*range(31, 43), instances=1)
    board.awaited(lambda: board.script(ASK_AT_ONCE) or "a tick is at work for" in board.text("state"))
    assert board.text("state").startswith("Syncing")
    assert " s" in board.tile("Tick at work")
    assert "now 12 entries" in board.text("lag-summary")
    board.is_well_made("running")


def test_the_numbers_follow_the_feed(board, api):
    """By themselves: no reload."""
    api.store(*range(1, 31), instances=4)
    latest = api.get("/status").json()["latest"]["sequence"]
    board.awaited(lambda: board.tile("Watermark").startswith(f"{latest}\n"))
    board.awaited(lambda: board.tile("Lag").startswith("0 entries"))
    board.awaited(lambda: board.rows("#ticks"))
    board.script("for (const one of document.querySelectorAll('#ticks details')) one.open = true")
    assert sum(int(row[3]) for row in board.rows("#ticks")) == latest
    board.script("document.querySelector('#hours [value=\"3\"]').click()")
    board.awaited_text("throughput-summary", f"In the last 3 hours {latest} entries")
    board.awaited(lambda: board.script(HAS_BAR))
    board.at_all_widths("busy")


ASK_AT_ONCE = "document.dispatchEvent(new Event('visibilitychange'))"
"""As when the tab is seen again: by itself the page asks every 5 s, and a tick may be over by then."""
SLOW_HEALTH = """
const answer = window.fetch;
const later = (...asked) => new Promise((done) => setTimeout(() => done(answer(...asked)), 1500));
window.fetch = (url, ...options) => (String(url).includes("health") ? later : answer)(url, ...options);
document.dispatchEvent(new Event("visibilitychange"));
"""


def test_a_key_that_is_no_longer_taken(board, api):
    """It is asked for anew, and nothing of what was shown is left in sight."""
    board.script("sessionStorage.setItem('dicom-cast-function-key', 'revoked')")
    board.awaited_text("key-message", "not taken")
    assert not board.by_id("board").is_displayed()
    assert board.focused() == board.by_id("key")
    board.enter("ключ")
    board.awaited_text("key-message", "ASCII")
    board.by_id("key").clear()
    board.script(SLOW_HEALTH)
    board.enter(api.stack.function_key)  # while the page waits for an answer that needs none
    board.awaited(lambda: board.by_id("board").is_displayed())


def test_errors_are_grouped_by_reason_and_study(board, api):
    """A study without PatientID is one line, with what to do; one click opens its rows; its UID is copied."""
    api.store(350, instances=12, PatientID=None)
    api.drained()
    total = api.get("/errors").json()["rows"]
    board.awaited(lambda: board.tile("Open error rows").startswith(f"{total}\n"))
    board.awaited_text("reasons", f"{total} open rows", seconds=3)  # with the tile, not at the next rare reading
    line = board.awaited(lambda: [row for row in board.rows("#reasons") if row[0].startswith("1.2.350")])
    assert len(line) == 1
    assert line[0][1] == "12"
    reasons = board.awaited_text(
        "reasons", "PatientID (LO): required", "What to do: the entries are not in FHIR", "open rows"
    )
    assert "InvalidDicomTagError" in reasons
    board.press("Copy StudyInstanceUID 1.2.350", "#reasons")
    board.awaited(lambda: any(word in board.text("reasons") for word in ("Copied", "Selected")))
    board.at_all_widths("reasons")
    board.press("Show rows of study 1.2.350 InvalidDicomTagError")
    board.awaited(lambda: len(board.rows("#errors-rows")) == 10)
    board.awaited_text("errors-page", "Rows 1 to 10 of 12")
    assert board.by_id("errors-exception").get_attribute("value") == "InvalidDicomTagError"
    board.at_all_widths("rows")


def test_error_rows_by_page_and_filter(board, api):
    """Ten to a page, and how many there are; a study narrows them down; the exception is a choice."""
    api.store(*range(300, 312), instances=1, PatientID=None)
    api.drained()
    total = api.get("/errors/DicomFailToStoreExceptionTable").json()["total"]
    assert total >= 12
    board.choose_rows("DicomFailToStoreExceptionTable")
    board.awaited(lambda: len(board.rows("#errors-rows")) == 10)
    assert not board.by_id("errors-previous").is_enabled()
    first = board.rows("#errors-rows")[0][0]
    board.at_all_widths("errors")
    board.press("Next")
    board.awaited(lambda: len(board.rows("#errors-rows")) == min(10, total - 10))
    assert board.text("errors-page") == f"Rows 11 to {min(20, total)} of {total}"
    assert board.by_id("errors-next").is_enabled() == (total > 20)
    board.press("Previous")
    board.awaited(lambda: len(board.rows("#errors-rows")) == 10 and board.rows("#errors-rows")[0][0] == first)
    board.by_id("errors-study").send_keys("1.2.303", "\n")
    [row] = board.awaited(lambda: len(board.rows("#errors-rows")) == 1 and board.rows("#errors-rows"))
    assert "PatientID" in row[1]
    assert "1.2.303" in row[2]
    assert board.text("errors-page") == "Rows 1 to 1 of 1"
    board.choose("errors-exception", "InvalidDicomTagError")
    board.awaited(lambda: len(board.rows("#errors-rows")) == 1)
    board.by_id("errors-study").send_keys("9", "\n")
    board.awaited_text("errors-rows", "No rows.")
    assert not board.by_id("errors-replay").is_displayed()
    board.press("Clear")
    board.awaited(lambda: len(board.rows("#errors-rows")) == 10)


def test_one_row_is_replayed(board, api):
    """A dry run first, which writes nothing; then, confirmed, the entry itself. Its row is open no more."""
    patient = {"resourceType": "Patient", "identifier": [{"value": "P-400"}]}
    url = f"{api.stack.fhir_url}/Patient"
    twins = [requests.post(url, json=patient, timeout=30).json()["id"] for _ in range(2)]
    api.store(400, instances=1)
    sequence = api.drained()["watermark"]["sequence"]
    requests.delete(f"{url}/{twins[1]}", timeout=30).raise_for_status()
    board.choose_rows("FhirFailToStoreExceptionTable")
    board.press(f"Replay entry … {sequence}")
    board.awaited_text("replay-dialog", "Nothing has been written yet.", "1 would be written", "ImagingStudy")
    assert api.study(400) is None
    board.at_all_widths("dry-run")
    board.press("Run for real", "#replay-dialog")
    board.awaited_text("replay-dialog-state", "Replay done.")
    assert api.study(400)
    board.is_well_made("replayed")
    board.press("Close", "#replay-dialog")
    board.awaited_text("errors-rows", "No rows.")
    board.awaited(lambda: board.text("replays-list").count(f"Entry {sequence}") == 2)
    board.choose("errors-open", "false")
    board.awaited_text("errors-rows", "resolved")


def test_a_study_is_rebuilt_where_its_row_says(board, api):
    """In the data partition north; that a study has no other is the rule, and nothing is said of it then."""
    api.store(410, instances=1, partition="north", PatientID=None)
    api.store(411, instances=1, PatientID=None)
    last = api.drained()["watermark"]["sequence"]
    board.choose_rows("DicomFailToStoreExceptionTable", "1.2.411")
    [row] = board.awaited(lambda: len(board.rows("#errors-rows")) == 1 and board.rows("#errors-rows"))
    assert "partition" not in row[2]
    board.choose_rows("DicomFailToStoreExceptionTable", "1.2.410")
    board.awaited_text("errors-rows", "partition north")
    board.press(f"Rebuild study … of entry {last - 1}")
    board.awaited_text("replay-dialog", "study 1.2.410 of partition north", "Dry run done", "1 failed")
    board.is_well_made("rebuild")


@pytest.mark.parametrize(
    ("stored", "study", "told"),
    [
        (420, "1.2.420", "A run would change nothing."),
        (421, "1.2.999420", "The study is in neither DICOM nor FHIR"),
    ],
)
def test_a_dry_run_that_would_write_nothing_is_not_offered_to_be_run(stored, study, told, board, api):
    """Neither in the dialog nor in the list; a study that is nowhere is said to be so, first of all."""
    api.store(stored, instances=1)
    api.drained()
    board.by_id("replay-study").find_element("name", "study").send_keys(study, Keys.ENTER)
    board.awaited_text("replay-dialog", "Dry run done", told)
    assert not board.by_id("replay-dialog-confirm").is_displayed()
    board.at_all_widths("nothing-to-run")
    board.press("Close", "#replay-dialog")
    board.awaited_text("replays-list", f"Study {study}")
    with pytest.raises(StopIteration):
        board.button(f"Run for real … study {study}")


def test_what_the_audit_found_is_told(board, api):
    """The last round in a sentence, and each study that differs; the button begins a round, which heals it here."""
    api.store(440, instances=1)
    api.drained()
    requests.delete(f"{api.stack.fhir_url}/ImagingStudy/{api.study(440)['id']}", timeout=30).raise_for_status()
    api.audited(study="1.2.440", dryRun=True)
    board.open(api.stack.functions_url)
    board.awaited_text("audit", "1 study compared, 1 differed", "1.2.440", "not in FHIR", "Study page")
    board.at_all_widths("audit")
    board.press("Begin a round of the audit")
    board.awaited_text("audit", "No difference is open.", seconds=60)
    assert api.study(440)


def test_a_replay_is_watched_and_cancelled(board, api, monkeypatch):
    """Its progress is seen while it runs, in the dialog and in the list."""
    api.store(*range(500, 620), instances=1)
    latest = api.drained()["latest"]["sequence"]
    # What would write nothing is not offered to be run.
    requests.delete(f"{api.stack.fhir_url}/ImagingStudy/{api.study(619)['id']}", timeout=30).raise_for_status()
    for name, value in (("from", 1), ("to", latest)):
        board.by_id("replay-sequence").find_element("name", name).send_keys(str(value))
    board.press("Dry run …", "#replay-sequence")
    board.awaited_text("replay-dialog-state", "Dry run done", seconds=60)
    monkeypatch.setattr(api.fhir, "rewrite", slowly)
    board.press("Run for real", "#replay-dialog")
    board.awaited_text("replay-dialog-state", "Replay running.")
    board.awaited(
        lambda: 0 < int(board.script("return document.querySelector('dialog progress')?.value ?? 0")) < latest
    )
    with frozen(api.fhir):  # it stays where it is for as long as it is looked at
        board.at_all_widths("replay-dialog")
        board.press("Close", "#replay-dialog")
        board.awaited(lambda: board.tile("Replays under way").startswith("1"))
        board.at_all_widths("replay-running", is_judged=False)
        board.press(f"Cancel entries 1 to {latest}")
        board.awaited_text("replays-list", "cancelled")
    board.at_all_widths("replay-cancelled", is_judged=False)


def test_a_replay_that_waits(board, api):
    """It says for what, in the dialog and in the list; it goes on by itself."""
    api.store(430, instances=1)
    api.drained()
    # Of this study alone: a tick that cannot reach the FHIR server begins no replay.
    api.fhir.faults += [Fault("GET", "1.2.430", times=10**9), Fault("POST", "/fhir", times=10**9, body=b"1.2.430")]
    board.by_id("replay-study").find_element("name", "study").send_keys("1.2.430", Keys.ENTER)
    board.awaited_text("replay-dialog", "Dry run running", "Waits: FHIR server: ", seconds=60)
    board.at_all_widths("replay-waits")
    board.press("Close", "#replay-dialog")
    board.awaited_text("replays-list", "Waits: FHIR server: ")
    api.fhir.faults.clear()
    board.awaited(lambda: "Waits" not in board.text("replays-list"), seconds=60)


def test_a_replay_that_failed(board, api):
    """Its reason stands first, before any count."""
    now = datetime.now(UTC)
    told = ReplayError(None, "", "DICOM service: entry 7 of the change feed cannot be read")
    newest = f"{16**11 - int(now.timestamp() * 1000):011x}-00000000"
    replay = Replay(newest, ReplayRequest(SequenceRange(7, 9)), ReplayState.FAILED, now, now, errors=(told,))
    with TableServiceClient.from_connection_string(api.stack.storage_connection) as service:
        service.create_table_if_not_exists(replay_table.TABLE).create_entity(replay_table._row(replay))
    said = board.awaited_text("replays-list", "Entries 7 to 9", "failed")
    assert 0 < said.index("cannot be read") < said.index("0 done")
    board.at_all_widths("replay-failed", is_judged=False)


def test_a_range_of_time_is_local_time(board, api):
    """As the person's clock shows it, here five and a half hours before UTC's."""
    board.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    board.driver.refresh()
    for name, value in (("from", "2026-01-02T05:30"), ("to", "2026-01-02T06:30:15")):
        field = board.by_id("replay-time").find_element("name", name)
        board.script("arguments[0].value = arguments[1]", field, value)
    board.press("Dry run …", "#replay-time")
    board.awaited_text("replay-dialog", "2 Jan 2026, 05:30:00", "Dry run done")
    [newest, *_] = api.get("/replay").json()["replays"]
    times = [datetime.fromisoformat(newest["request"]["time"][name]) for name in ("from", "to")]
    assert times == [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 1, 0, 15, tzinfo=UTC)]


def test_what_the_app_refuses_is_told(board, api):
    """Each fault of a request, by name."""
    for field, value in (("from", 5), ("to", 3)):
        board.by_id("replay-sequence").find_element("name", field).send_keys(str(value))
    board.press("Dry run …", "#replay-sequence")
    board.awaited_text("replay-dialog", "Not started.", "from")
    board.at_all_widths("refused")


def test_by_keyboard_alone(board, api):
    """The skip link comes first; Escape closes the dialog, and the focus is where it was."""
    board.driver.refresh()
    board.awaited_text("now", "Watermark")
    board.type(Keys.TAB)
    assert board.focused().text == "Skip to the content"
    board.type(Keys.ENTER, Keys.TAB)
    assert board.focused().text == "Errors", "the first link of the content"
    board.by_id("replay-study").find_element("name", "study").send_keys("1.2.404", Keys.ENTER)
    board.awaited_text("replay-dialog-state", "Dry run")
    board.type(Keys.ESCAPE)
    board.awaited(lambda: not board.by_id("replay-dialog").is_displayed())
    assert board.focused().get_attribute("name") == "study"
    assert board.focused().value_of_css_property("outline-style") == "solid"


def test_on_a_phone(board, api):
    """Nothing is wider than the window, and everything can be reached by a finger."""
    board.become_a_phone()
    longest = {name: f"2.25.{digit * 59}" for name, digit in (("StudyInstanceUID", "8"), ("SOPInstanceUID", "9"))}
    api.store(600, instances=1, PatientID=None, **longest)
    api.drained()
    board.choose_rows("DicomFailToStoreExceptionTable", longest["StudyInstanceUID"])
    [[sequence, *_]] = board.awaited(lambda: len(board.rows("#errors-rows")) == 1 and board.rows("#errors-rows"))
    board.is_well_made("phone")
    board.press(f"Replay entry … {sequence}")
    board.awaited_text("replay-dialog-state", "Dry run done")
    board.is_well_made("phone-dialog")


def test_the_self_check_the_settings_and_the_fhir_server(board, api):
    """Each step with its outcome; no secret among the settings; what the check found out of the FHIR server."""
    board.press("Run the self-check")
    board.awaited_text("check-result", "all is well")
    steps = {row[0]: row[1:] for row in board.rows("#check-result")}
    assert steps["FHIR server: what it is like"][0] == "ok"
    for summary in board.driver.find_elements("css selector", "summary"):
        summary.click()
    settings = dict(board.awaited(lambda: board.rows("#settings")))
    assert settings["AzureWebJobsStorage"] == "***"
    board.awaited(lambda: dict(board.rows("#fhir-server")).get("meta.source") == "kept")
    assert dict(board.rows("#fhir-server"))["FHIR version"].startswith("4.0.")
    board.awaited(lambda: board.rows("#history-table"))
    board.at_all_widths("deployment")


def test_a_hidden_tab_asks_nothing(board, api):
    """And one that is seen again asks at once."""
    board.hide()
    asked = board.script(STATUSES)
    time.sleep(7)  # more than a refresh
    assert board.script(STATUSES) - asked <= 1, "the one that was under way"
    asked = board.script(STATUSES)
    board.show()
    board.awaited(lambda: board.script(STATUSES) > asked, seconds=4)

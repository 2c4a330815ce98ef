"""The KQL run on what the app logs, and analysed by Microsoft's own parser: `make check-infra`."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.infra.app_log import captured
from tests.infra.test_queries import INFRA, QUERIES

duckdb_kql = pytest.importorskip("duckdb_kql", reason="make check-infra installs it")
KQL = Path(__file__).parent / "kql"
TABLES = {
    "traces": "(timestamp: datetime, message: string, severityLevel: int, customDimensions: dynamic, operation_Name: string)",
    "requests": "(timestamp: datetime, success: bool, resultCode: string, operation_Name: string, duration: real)",
}
"""The columns of Application Insights that the queries may use."""


@pytest.fixture
def insights():
    """Application Insights' two tables; the lines are put into them as the host would."""
    connection = duckdb_kql.connect()
    connection.execute("create table traces(timestamp timestamptz, message varchar)")
    connection.execute(
        "create table requests(timestamp timestamptz, success boolean, resultCode varchar, operation_Name varchar)"
    )
    return connection


@pytest.fixture(scope="module")
def log():
    """The app's lines, by what happened."""
    return captured()


def logged(insights, lines):
    """Puts lines in, a second apart."""
    for number, line in enumerate(lines):
        insights.execute("insert into traces values (?, ?)", [datetime.now(UTC) + timedelta(seconds=number), line])


def rows(insights, query):
    """The answer as dicts."""
    answer = duckdb_kql.query(insights, query)
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


def test_a_tick_that_went_well_is_seen(insights, log):
    """synced and idle are successes; failed and leaseHeld are none, so that silence alarms."""
    logged(insights, [*log["refused"], *log["outage"], *log["held"]])
    assert rows(insights, QUERIES["successful-ticks"]) == []
    logged(insights, [*log["synced"], *log["idle"]])
    assert [row["Outcome"] for row in rows(insights, QUERIES["successful-ticks"])] == ["synced", "idle"]


def test_the_lag_is_read_as_a_number(insights, log):
    """From ticks that know it: that of a held lease does not."""
    logged(insights, [*log["held"], *log["carried"], *log["idle"]])
    found = rows(insights, QUERIES["lag"])
    assert [(row["LagSeconds"], row["LagEntries"]) for row in found] == [(7.0, 1), (0.0, 0)]


def test_a_sync_that_does_not_sync_is_told(insights, log):
    """Once it has lasted for five minutes, with the reason; not a tick that fails once, nor one of any other state."""
    logged(insights, [*log["synced"], *log["outage"], *log["behind"], *log["held"]])
    assert rows(insights, QUERIES["not-syncing"]) == []
    logged(insights, log["down"])
    found = rows(insights, QUERIES["not-syncing"])
    assert [row["StateSeconds"] for row in found] == [500.0]
    assert found[0]["Error"] == "OutageError: FHIR server: https://f is not reachable"


def test_a_sync_that_is_behind_is_told(insights, log):
    """For how long, where ticks write nothing; 0 for all else, so that one tick that caught up ends it."""
    logged(insights, [*log["synced"], *log["down"], *log["held"]])
    assert {row["BehindSeconds"] for row in rows(insights, QUERIES["behind"])} == {0.0}
    logged(insights, log["behind"])
    assert max(row["BehindSeconds"] for row in rows(insights, QUERIES["behind"])) > 400


def test_a_round_that_leaves_something_to_a_person_is_told(insights, log):
    """Differences that are open, and deletes that wait; not a round that found all as it should be."""
    logged(insights, [*log["synced"], *log["audit"]])
    assert rows(insights, QUERIES["audit"]) == []
    logged(insights, log["audit stopped"])
    told = [(row["State"], row["Open"], row["DeletesWaiting"]) for row in rows(insights, QUERIES["audit"])]
    assert told == [("done", 3, 0), ("stopped", 3, 3)]


def test_failed_entries_are_told_by_table(insights, log):
    """With sequence and study; a retry is no failure yet. Studies of one patient go in another order than the feed's."""
    logged(insights, [*log["synced"], *log["fhir failed"], *log["carried"]])
    found = {row["Table"]: row for row in rows(insights, QUERIES["failed-entries"])}
    assert {table: (row["Sequence"], row["StudyInstanceUID"]) for table, row in found.items()} == {
        "DicomFailToStoreExceptionTable": (2, "1.3"),
        "InvalidDicomTagExceptionTable": (3, "1.4"),
        "FhirFailToStoreExceptionTable": (1, "1.2.3"),
    }
    reason = found["DicomFailToStoreExceptionTable"]["Reason"]
    assert reason == "InvalidDicomTagError: (0010,0020) PatientID (LO): required, and missing or empty"


def test_a_403_is_told_and_another_outage_is_not(insights, log):
    """By the system that refuses."""
    logged(insights, [*log["refused"], *log["outage"], *log["synced"]])
    assert [row["System"] for row in rows(insights, QUERIES["refusals"])] == ["FHIR server"]


def test_a_function_that_raised_is_told_and_an_answer_is_not(insights):
    """The timer's failure and a 500; not the health's 503, a caller's 400 or a good tick."""
    told = [
        (False, "0", "sync"),
        (False, "500", "status"),
        (False, "503", "health"),
        (False, "400", "replay"),
        (True, "0", "sync"),
    ]
    for success, code, name in told:
        insights.execute("insert into requests values (?, ?, ?, ?)", [datetime.now(UTC), success, code, name])
    assert [row["Function"] for row in rows(insights, QUERIES["function-failures"])] == ["sync", "status"]


def test_the_workbook_adds_up(insights, log):
    """Entries, outcomes and the errors of the ticks."""
    logged(insights, [line for name, lines in log.items() if name not in ("down", "behind") for line in lines])
    throughput = rows(insights, QUERIES["throughput"])
    assert sum(row["Entries"] for row in throughput) == 5
    assert sum(row["Written"] for row in throughput) == 2
    assert {row["Outcome"] for row in rows(insights, QUERIES["outcomes"])} == {"synced", "idle", "failed", "leaseHeld"}
    assert [row["Error"].split(":")[1] for row in rows(insights, QUERIES["last-errors"])] == [
        " storage",
        " FHIR server",
    ]


def test_every_chart_runs(insights, log):
    """Those that go on from a query of an alert as well."""
    logged(insights, [line for lines in log.values() for line in lines])
    for query in charts():
        rows(insights, query)


def test_microsofts_analysis_finds_nothing():
    """Syntax, functions, columns and types, by the parser that Azure Monitor's own editor has."""
    assert analysed([*QUERIES.values(), *charts()]) == [[]] * (len(QUERIES) + len(charts()))


def test_microsofts_analysis_finds_a_planted_fault():
    """A wrong column, a wrong operator, a wrong function."""
    query = QUERIES["lag"]
    planted = [
        query.replace("message startswith", "mesage startswith"),
        query.replace("| project", "| proect"),
        query.replace("todouble(", "tofloat("),
    ]
    assert all(analysed(planted))


def charts():
    """The workbook's queries as Bicep puts them together."""
    text = (INFRA / "app" / "workbook.bicep").read_text()
    found = re.findall(r"query: (?:'\$\{)?loadTextContent\('\.\./queries/([\w-]+)\.kql'\)(?:\}(.*)')?", text)
    return [QUERIES[name] + more for name, more in found]


def analysed(queries):
    asked = json.dumps({"tables": TABLES, "queries": queries})
    told = subprocess.run(["node", "analyze.cjs"], cwd=KQL, input=asked, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)

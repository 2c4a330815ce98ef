"""The alerts' and the workbook's KQL, held against the lines that the app logs."""

import json
import re

import pytest

from shared.model.failures import ErrorTable
from shared.model.outcome import Outcome
from tests.infra.app_log import captured
from tests.infra.posture import ALERT
from tests.infra.snapshots import INFRA, SAMPLES, stored_snapshot

QUERIES = {path.stem: path.read_text() for path in sorted((INFRA / "queries").glob("*.kql"))}
OF_TICKS = [name for name, query in QUERIES.items() if 'startswith "tick "' in query]


@pytest.fixture(scope="module")
def lines():
    """All that the app logged, one line after the other."""
    return [line for heard in captured().values() for line in heard]


@pytest.fixture(scope="module")
def ticks(lines):
    """The dimensions of the ticks' lines, found as the KQL finds them."""
    return [json.loads(line[line.index('{"') :]) for line in lines if line.startswith("tick ")]


@pytest.mark.parametrize("name", OF_TICKS)
def test_a_query_of_ticks_asks_for_what_a_tick_says(name, ticks):
    """Every name that is read out of the JSON is in a captured line, letter for letter."""
    asked = set(re.findall(r"\btick\.(\w+)|\"\)\)\)\.(\w+)", QUERIES[name]))
    names = {one or other for one, other in asked}
    assert names
    assert names <= set().union(*ticks)


def test_the_query_of_failures_asks_for_what_a_failure_says(lines):
    """Its JSON begins with the table, which is how the query finds it."""
    failures = [line for line in lines if '{"Table":' in line]
    asked = set(re.findall(r"\bfailure\.(\w+)", QUERIES["failed-entries"]))
    assert failures
    assert all(asked <= json.loads(line[line.index('{"Table"') :]).keys() for line in failures)


def test_the_query_of_the_audit_asks_for_what_a_round_says(lines):
    """Its JSON has each of the names."""
    rounds = [json.loads(line[line.index('{"') :]) for line in lines if line.startswith("audit ")]
    asked = set(re.findall(r"\bround\.(\w+)", QUERIES["audit"]))
    assert rounds
    assert all(asked <= round_.keys() for round_ in rounds)


def test_the_words_in_the_queries_are_the_apps():
    """Outcomes and tables that a query names are those that there are."""
    (said,) = re.findall(r"Outcome\) in \(([^)]*)\)", QUERIES["successful-ticks"])
    assert set(re.findall(r'"(\w+)"', said)) == {Outcome.SYNCED, Outcome.IDLE}
    assert re.findall(r'Table != "(\w+)"', QUERIES["failed-entries"]) == [ErrorTable.TRANSIENT_RETRY]


def test_every_query_is_used():
    """By an alert or the workbook; and each that is used is there."""
    templates = "".join((INFRA / "app" / f"{name}.bicep").read_text() for name in ("alerts", "workbook"))
    assert set(re.findall(r"loadTextContent\('\.\./queries/([\w-]+)\.kql'\)", templates)) == QUERIES.keys()


def test_an_alert_splits_and_measures_by_columns_of_its_query():
    """Its dimensions and its measure are columns that the query projects."""
    alerts = [one for one in stored_snapshot(SAMPLES[0])["predictedResources"] if one["type"] == ALERT]
    assert alerts
    for alert in alerts:
        (criterion,) = alert["properties"]["criteria"]["allOf"]
        projected = criterion["query"].rpartition("| project ")[2]
        columns = re.findall(r"(\w+)(?: =[^,]+)?(?:,|\n|$)", projected)
        asked = {one["name"] for one in criterion["dimensions"]} | {criterion["metricMeasureColumn"]} - {None}
        assert asked <= set(columns), alert["name"]

"""The alerts' and the workbook's KQL, held against the lines that the app logs."""

import json
import re
from pathlib import Path

import pytest

from shared.failures import ErrorTable
from shared.outcome import Outcome
from tests.infra.app_log import captured
from tests.infra.bicep import syntax

INFRA = Path(__file__).parents[2] / "infra"
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
    """`splitBy` and `measure` are columns that the query projects."""
    for rule in alert_rules():
        projected = rule["query"].rpartition("| project ")[2]
        columns = re.findall(r"(\w+)(?: =[^,]+)?(?:,|\n|$)", projected)
        assert {*rule["splitBy"], *rule["measure"]} <= set(columns), rule["name"]


def alert_rules():
    """The alerts' rules as Python: name, query, and the columns that they split and measure by."""
    rules = syntax.read(INFRA / "app" / "alerts.bicep").named("var")["rules"].value
    for item in rules.named_children:
        given = syntax.properties(item)
        query = re.search(r"queries/([\w-]+)\.kql", syntax.text_of(given["query"]))[1]
        yield {
            "name": syntax.literal(given["name"]),
            "query": QUERIES[query],
            "splitBy": [syntax.literal(one) for one in given["splitBy"].named_children],
            "measure": [syntax.literal(given["measure"])] if given["measure"].type == "string" else [],
        }

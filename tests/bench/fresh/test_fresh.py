"""The benchmark's own rules: what is met and what is missed, and that each row runs."""

from dataclasses import replace

import pytest

from tests.bench.fresh.parts import Parts
from tests.bench.fresh.report import DOCUMENT, LIMITS, capacity, limits, read_kept, table
from tests.bench.fresh.row import Against, Bar, Measured, Result, Row
from tests.bench.fresh.rows import ROWS
from tests.bench.fresh.stores import nth
from tests.bench.fresh.tree import HERE
from tests.bench.rig import warmed


@pytest.mark.parametrize(
    ("bar", "now", "baseline", "is_met"),
    [
        (Bar("", "s", 12), 12, 250, True),
        (Bar("", "s", 12), 12.1, 250, False),
        (Bar("", "/s", 500, is_least=True), 499, 100, False),
        (Bar("", "s", 12, against=Against.SCALED, before=251), 24, 502, True),
        (Bar("", "s", 12, against=Against.SCALED, before=251), 12, 125, False),
        (Bar("", "s", 12, against=Against.SCALED, before=251), 12, None, True),
        (Bar("", "/s", 10, is_least=True, against=Against.TIMES), 450, 45, True),
        (Bar("", "/s", 10, is_least=True, against=Against.TIMES), 449, 45, False),
        (Bar("", "s", 0.6, against=Against.TIMES), 1.0, 1.65, False),
        (Bar("", "s", 0.6, against=Against.TIMES), 1.0, None, None),
        (Bar("", "MB", 10, is_least=True, against=Against.LESS), 90, 100, True),
        (Bar("", "MB", 10, is_least=True, against=Against.LESS), 91, 100, False),
        (Bar("", ""), 1, 1, None),
    ],
)
def test_a_bar(bar, now, baseline, is_met):
    """Least or most, of the figure or of what it is beside the baseline; without one, what needs it is not judged."""
    assert bar.is_met(now, baseline) is is_met


def test_a_missed_bar_stands_as_missed():
    """The line says what was measured and what was reckoned, and a row with one missed bar is missed."""
    row = Row("name", "title", (Bar("a", "s", 2), Bar("b", "s", 3)), lambda *_: None)
    result = Result(row, Measured({"a": 1, "b": 5}), Measured({"a": 2, "b": 1234}, frozenset({"b"}), "a part"))
    assert list(result.lines()) == [
        "| `name`: title | a | 2 s | 1 s | 0.5 | ≤ 2 s | met |",
        "| `name`: title | b | about 1,234 s | 5 s | 0.00405 | ≤ 3 s | **missed** |",
    ]
    assert result.is_missed
    assert list(result.notes()) == ["- `name`, baseline: a part."]
    assert list(result.shares()) == [("name: a", 0.5), ("name: b", 5 / 3)]


@pytest.mark.parametrize(
    ("bar", "now", "baseline", "share"),
    [
        (Bar("", "s", 12), 6, None, 0.5),
        (Bar("", "/s", 500, is_least=True), 250, None, 2),
        (Bar("", "s", 12, against=Against.SCALED, before=251), 12, 125.5, 2),
        (Bar("", "", 2, against=Against.TIMES), 3, 1, 1.5),
        (Bar("", "MB", 10, is_least=True, against=Against.LESS), 80, 100, 0.5),
        (Bar("", "", 2, against=Against.TIMES), 3, None, None),
        (Bar("", ""), 3, None, None),
    ],
)
def test_a_share_of_a_bar(bar, now, baseline, share):
    """Up to 1 it is met, least or most."""
    assert bar.share(now, baseline) == share
    assert share is None or bar.is_met(now, baseline) == (share <= 1)


def test_what_one_worker_holds():
    """By the slower of the backlogs; nothing is said where none was measured."""
    row = Row("backlog", "", (), lambda *_: None)
    slower = Result(replace(row, name="backlog-100"), Measured({"drained": 1, "entries": 1_000}), None)
    said = capacity([Result(row, Measured({"drained": 1, "entries": 2_000}), None), slower])
    assert "One worker drained the backlog of `backlog-100` at 1,000 instances a second" in said
    assert "| all imaging of a country, 43 million | 100 | 398 | 39.81% |" in said
    assert capacity([Result(row, Measured({"p50": 1}), None)]) == ""


def test_a_missed_bar_stands_with_what_keeps_it_from_being_met():
    """Of rows that are met nothing is said."""
    row = next(one for one in ROWS if one.name == "ct-server")
    missed, met = (Result(row, Measured({"app : the longer alone": figure}), None) for figure in (2, 1))
    assert limits([missed]).endswith(f"- `ct-server`: {LIMITS['ct-server']}\n")
    assert limits([met]) == ""
    assert LIMITS.keys() <= {one.name for one in ROWS}


@pytest.mark.parametrize(("percent", "second"), [(50, 5), (95, 10), (100, 10), (1, 1)])
def test_percentiles(percent, second):
    """By the nearest rank."""
    assert nth(range(1, 11), percent) == second


@pytest.fixture(scope="module")
def parts(storage, tmp_path_factory):
    """On the tests' own Azurite."""
    with warmed(storage, tmp_path_factory.mktemp("fresh")) as rig:
        yield Parts(rig)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.name in ("backlog", "replay-errors")], ids=lambda row: row.name
)
def test_a_row_runs(row, parts):
    """On this tree alone, at small sizes: all its figures are told."""
    told = row.measured(parts, HERE, None, is_quick=True)
    assert {bar.figure for bar in row.bars} == told.now.figures.keys()


def test_the_document_is_made_of_the_figures():
    """Each row's lines as the kept figures tell them now; those of a row that was renamed, or tells others, are measured anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [line for line in table(read_kept()) if line not in text] == []
    assert {result.row.name for result in read_kept()} == {row.name for row in ROWS}

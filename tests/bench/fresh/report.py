"""The rows as Markdown, and the document that keeps them."""

from collections.abc import Iterator, Sequence

from local.stack import ROOT
from tests.bench.fresh.row import HEADINGS, Result
from tests.bench.report import commit, machine

DOCUMENT = ROOT / "docs/freshness.md"
_HEAD = """# Freshness

Written by `make bench-fresh` on {machine}, at {commit}, beside the code of {baseline} in the same run. One row:
`python -m tests.bench.fresh ROW`. A bar that is missed stands here as missed. "About" is before what was not measured to its end;
the notes below the table say of what it is reckoned.

The FHIR server is the benchmark's own in memory, with the latency that the row names, where no other is named; the DICOM service
is the local one on a database file; storage is Azurite. Each is a process of its own, as the app is, and the app runs with
its default settings.

"""


def table(results: Sequence[Result]) -> Iterator[str]:
    """Of all bars."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| :--- | :--- | ---: | ---: | ---: | :--- | :--- |"
    for result in results:
        yield from result.lines()


def document(results: Sequence[Result], baseline: str) -> str:
    """docs/freshness.md."""
    notes = [note for result in results for note in result.notes()]
    head = _HEAD.format(machine=machine(), commit=commit(), baseline=baseline)
    return head + "\n".join([*table(results), "", *notes]) + "\n"

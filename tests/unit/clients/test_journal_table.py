"""The journal's row: storage takes it whatever the ticks said."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from shared.clients.azure.journal_table import TABLE, JournalTable
from shared.model.journal import Journal
from shared.model.stored_text import stored_bytes
from tests.unit.test_journal import Outcome, record


@pytest.mark.parametrize("text", ["x" * 100_000, "語" * 100_000, '"' * 100_000, "\n" * 100_000])
def test_long_texts_do_not_keep_a_tick_from_being_recorded(text):
    """64 KiB is what storage takes: beyond them no tick would be recorded any more, and the status would stand."""
    sent = []
    table = SimpleNamespace(submit_transaction=sent.extend)
    journal = Journal()
    for number in range(30):
        one = replace(record(entries=number), error=text)
        journal = journal.with_tick(replace(one, result=replace(one.result, held_by=text)))
        JournalTable({TABLE: table}).write(journal)
    assert max(stored_bytes(row["Record"]) for _, row, _ in sent) <= 2**16
    assert journal.last.result.entries == 29
    assert "left out" in journal.last.error


def test_ticks_that_say_little_are_all_kept():
    sent = []
    table = SimpleNamespace(submit_transaction=sent.extend)
    journal = Journal()
    for _ in range(20):
        journal = journal.with_tick(replace(record(Outcome.FAILED), error="FHIR server: status 503"))
    JournalTable({TABLE: table}).write(journal)
    assert sent[0][1]["Record"].count("status 503") == 21

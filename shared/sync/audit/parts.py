"""A reading of many requests, in parts: a step of the audit ends in between, and the next one goes on with it.

So a StudyDate with tens of thousands of studies neither keeps the feed waiting nor outlasts the tick's deadline.
"""

from collections.abc import Callable, Generator, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from shared.errors import DicomCastError, EntryError, FeedError, OutageError, TransientError
from shared.model.audit import Chunk, Place, Round
from shared.sync.audit.audit_ports import AuditMemory, Reading

STEP_SECONDS = 3
"""How long a step goes on, plus the request or the study at work at its end: new entries of the feed wait for it."""
FAULTS = (EntryError, FeedError, TransientError, OutageError)
"""What a round waits for. It then goes on where it was."""

T = TypeVar("T")
Parts = Generator[DicomCastError | None, None, T]
"""Gives control back after each part, with the fault that it has met; if resumed, it tries the same part again."""


def next_parts(
    memory: AuditMemory, round_: Round, place: Place, begin: Callable[[], Parts[Chunk]], now: Callable[[], datetime]
) -> Chunk | None:
    """The chunk, None if it takes another step. Goes on with the reading of this place, or begins it.

    Raises the fault that a part has met.
    """
    reading, memory.reading = memory.reading, None
    if reading is None or (reading.round_id, reading.place) != (round_.id, place):
        reading = Reading(round_.id, place, begin())
    until = now() + timedelta(seconds=STEP_SECONDS)
    while True:
        try:
            fault = next(reading.parts)
        except StopIteration as end:
            chunk: Chunk = end.value
            return chunk
        if fault is not None:
            memory.reading = reading
            raise fault
        if now() >= until:
            memory.reading = reading
            return None


def tried(ask: Callable[[], T]) -> Parts[T]:
    """The answer, as one part."""
    while True:
        fault = None
        try:
            answer = ask()
        except FAULTS as error:
            fault = error
        yield fault
        if fault is None:
            return answer


def joined(begin: Callable[[], Iterator[list[T]]]) -> Parts[list[T]]:
    """The items of all pages, each page a part. After a fault all pages are read again: no page is a place to go on."""
    while True:
        found: list[T] = []
        fault = None
        try:
            for page in begin():
                found += page
                yield None
        except FAULTS as error:
            fault = error
        if fault is None:
            return found
        yield fault

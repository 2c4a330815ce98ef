"""A place of a round that cannot be read, though both servers answer: it is made smaller, down to a day, and passed by.

So one study that the archive cannot list, or one day that is too much for it, harms itself alone.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta

from shared.errors import EntryError, FeedError, OutageError, TransientError
from shared.mapping.mapping_options import MappingOptions
from shared.model.audit import Chunk, Phase, Place, Round
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.audit.chunk import ChunkReader
from shared.sync.audit.windows import dates_of, following, halved
from shared.sync.ports import Ports

PASSED_BY_AFTER = timedelta(minutes=10)
"""For how long a place is tried before."""
MOST_PASSED_BY = 5
"""Places in one round. If there are more, the round waits, and fails: they are not to blame."""
_PHASES = (Phase.DATED, Phase.UNDATED, Phase.FHIR_UNDATED)


def read_chunk(
    ports: Ports, audit: AuditPorts, options: MappingOptions, round_: Round, failing_since: datetime | None
) -> Chunk | None:
    """The chunk at the round's place, or the first part of it that can be read, or one that says what cannot.

    None if it takes another step to read. `failing_since`: since when the place cannot be read. Raises what
    `ChunkReader.read` does.
    """
    is_stuck = failing_since is not None and ports.now() - failing_since >= PASSED_BY_AFTER
    place = round_.place
    while True:
        reader = ChunkReader(ports, audit, options, replace(round_, place=place))
        try:
            return reader.read()
        except (EntryError, FeedError, TransientError, OutageError) as error:
            if not is_stuck or round_.passed_by >= MOST_PASSED_BY or place.phase not in _PHASES:
                raise
            _ensure_answers(ports, audit, place.partition)
            if place.phase is not Phase.DATED or place.days == 1:
                return _passed_by(reader, round_, replace(place, after=""), str(error))
        place = halved(place)


def _ensure_answers(ports: Ports, audit: AuditPorts, partition: str) -> None:
    """Raises the fault of a server that does not answer at all: then no place is to blame."""
    ports.feed.latest()
    audit.studies.page(partition, 0, (date.min, date.min))
    ports.fhir.ensure_answers()


def _passed_by(reader: ChunkReader, round_: Round, place: Place, fault: str) -> Chunk:
    """In place of the chunk there: nothing of it is compared."""
    named, behind = place.phase.value, None
    if place.phase is Phase.DATED:
        named, behind = f"studies of {dates_of(place)[0]}", following(place, 0, reader.end, was_halved=True)
    says = f"{named} are not compared: {fault}"
    return Chunk(round_.id, place, (), 0, behind or reader.behind(place), (says,), is_passed_by=True)

"""The app as the triggers see it: one method for each thing they can ask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import SwitchedOffError
from shared.model.audit import LATEST_ROUNDS, AuditState, DifferenceQuery, Round, RoundRequest
from shared.model.change_feed import FeedEntry
from shared.model.failures import ErrorCount, ErrorQuery, ErrorRow, ErrorTable
from shared.model.journal import Slot
from shared.model.outcome import TickRecord
from shared.model.replay import Replay, ReplayRequest
from shared.sync.batch import BatchOptions
from shared.sync.ports import Ports
from shared.sync.status.check import Check, Question, run_check, run_step
from shared.sync.status.outages import OutageLog
from shared.sync.status.reasons import OpenReasons, open_reasons
from shared.sync.status.state import is_healthy
from shared.sync.status.status import Status, status
from shared.sync.status.watch import UnderWay
from shared.sync.tick import tick

if TYPE_CHECKING:
    from shared.sync.audit.audit_ports import AuditPorts
    from shared.sync.status.study_page import StudyPage
    from shared.sync.status.study_search import FoundStudies
    from shared.sync.status.study_view import StudyView

VERSION = "0.1.0"
LATEST_REPLAYS = 20


@dataclass(frozen=True, slots=True)
class App:
    """`ports` are what a tick works with; `watch` are the same systems, asked with little patience.

    `study_page`: None where a setting turns it off.
    """

    ports: Ports
    watch: Ports
    options: BatchOptions
    outages: OutageLog
    settings: Mapping[str, str]
    health_max_age: timedelta
    questions: Callable[[], Sequence[Question]]
    under_way: UnderWay = field(default_factory=UnderWay)
    study_page: "Callable[[], StudyPage] | None" = None

    def tick(self) -> TickRecord:
        """One batch, and some of the replays, under the lease."""
        with self.ports.telemetry.tick() as tell:
            record = tick(self.ports, self.options, self.outages)
            tell(record)
        return record

    def status(self) -> Status:
        """Where the sync stands."""
        return status(self.watch, VERSION, self.settings, self.under_way, self.options.standstill_seconds)

    def is_healthy(self) -> bool:
        """Whether ticks end well, and write what waits. Raises OutageError where storage cannot say."""
        patience = timedelta(seconds=self.options.standstill_seconds)
        return is_healthy(self.watch.journal.read(), self.watch.now(), self.health_max_age, patience)

    def history(self, hours: int) -> list[Slot]:
        """Lag and throughput of so many hours. Raises OutageError."""
        return self.watch.journal.history(self.watch.now() - timedelta(hours=hours))

    def errors(self, query: ErrorQuery, size: int, after: tuple[str, str] | None) -> Sequence[ErrorRow]:
        """A page of an error table. Raises OutageError."""
        return self.watch.errors.page(query, size, after)

    def count_errors(self, query: ErrorQuery) -> ErrorCount:
        """How many rows there are besides a page's. Raises OutageError."""
        return self.watch.errors.count(query)

    def reasons(self) -> OpenReasons:
        """The open rows by reason and study. Raises OutageError."""
        return open_reasons(self.watch.errors)

    def close_torn(self, table: ErrorTable, sequence: int) -> bool:
        """Marks the rows of a torn entry of which no study is known; whether there was one. Raises OutageError.

        All others close by themselves, and by nobody's word.
        """
        rows = [row for row in self.watch.errors.torn(sequence) if row.table is table]
        self.watch.errors.close(rows)
        return bool(rows)

    def latest_entry(self) -> FeedEntry | None:
        """The change feed's newest: no replay begins behind it. Raises OutageError, FeedError."""
        return self.watch.feed.latest()

    def start_replay(self, asked: ReplayRequest) -> Replay:
        """A new replay, or the one under way that was asked for likewise. Raises OutageError, TooManyReplaysError."""
        return self.watch.replays.create(asked)

    def replays(self) -> list[Replay]:
        """The latest. Raises OutageError."""
        return self.watch.replays.latest(LATEST_REPLAYS)

    def replay(self, replay_id: str) -> Replay | None:
        """One replay. Raises OutageError."""
        return self.watch.replays.read(replay_id)

    def cancel_replay(self, replay_id: str) -> Replay | None:
        """The replay, cancelled unless it has ended. Raises OutageError."""
        return self.watch.replays.cancel(replay_id)

    def audit(self, query: DifferenceQuery) -> AuditState:
        """Where the audit stands, and a page of the differences. Raises OutageError."""
        kept = self._audit()
        rounds, rows = kept.rounds.latest(LATEST_ROUNDS), kept.differences.page(query)
        return AuditState(self.options.audit.mode, rounds, kept.differences.counts(), rows)

    def start_round(self, asked: RoundRequest | str) -> Round | None:
        """A new round; or the stopped one of this id, whose deletes are confirmed: None if there is none.

        Raises RoundUnderWayError, OutageError.
        """
        rounds = self._audit().rounds
        begun = rounds.confirm(asked) if isinstance(asked, str) else rounds.create(asked)
        if self.ports.audit:
            self.ports.audit.memory.rests_until = None  # the next tick of this process need not look by itself
        return begun

    def stop_round(self) -> Round | None:
        """The round that was under way, stopped; None where none was. Raises OutageError."""
        return self._audit().rounds.cancel()

    def _audit(self) -> "AuditPorts":
        assert self.watch.audit, "bootstrap makes it"
        return self.watch.audit

    def study(self, study_instance_uid: str, partition: str, *, patients: bool) -> "StudyView":
        """One study on both sides, and what a rebuild would change. Raises SwitchedOffError."""
        return self._page().view(study_instance_uid, partition, patients=patients)

    def find_studies(self, text: str, partition: str | None) -> "FoundStudies":
        """The studies with this StudyInstanceUID, accession number or PatientID. Raises SwitchedOffError."""
        return self._page().find(text, partition)

    def _page(self) -> "StudyPage":
        if self.study_page is None:
            raise SwitchedOffError("DicomCast__Features__StudyPage is `false`: studies are not shown")
        return self.study_page()

    def check(self, number: int | None = None) -> Check:
        """The self-check of the deployment, or its step of that number; one of each at a time. Raises RequestError."""

        def run() -> Check:
            settings = Question("settings", lambda: f"{len(self.settings)} settings are usable", "")
            questions = [settings, *self.questions()]
            return run_step(questions, number) if number else run_check(questions)

        check: Check = self.under_way.ask(f"self-check, step {number or 'by step'}", run).result()
        return check

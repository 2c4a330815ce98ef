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
from shared.sync.status.outages import OutageLog
from shared.sync.status.state import is_healthy
from shared.sync.status.watch import UnderWay
from shared.sync.tick import tick

if TYPE_CHECKING:  # what only a request needs is loaded by the first one: a cold start is for the tick
    from shared.sync.audit.audit_ports import AuditPorts
    from shared.sync.status.check import Check, Question
    from shared.sync.status.reasons import OpenReasons
    from shared.sync.status.status import Status
    from shared.sync.status.study_page import StudyPage
    from shared.sync.status.study_search import FoundStudies
    from shared.sync.status.study_view import StudyView

VERSION = "0.1.0"
LATEST_REPLAYS = 20


@dataclass(frozen=True, slots=True)
class App:
    """The app. `ports`: the systems for the ticks; `watch`: the same systems with short timeouts, for requests.

    `settings`: as an operator may see them. `study_page` makes the study page; None if a setting turns it off.
    """

    ports: Ports
    watch: Ports
    options: BatchOptions
    outages: OutageLog
    settings: Mapping[str, str]
    health_max_age: timedelta
    questions: "Callable[[], Sequence[Question]]"
    under_way: UnderWay = field(default_factory=UnderWay)
    study_page: "Callable[[], StudyPage] | None" = None

    def tick(self) -> TickRecord:
        """Works on one batch and on replays, under the lease."""
        with self.ports.telemetry.tick() as report:
            record = tick(self.ports, self.options, self.outages)
            report(record)
        return record

    def status(self) -> "Status":
        """Where the sync stands."""
        from shared.sync.status.status import status  # noqa: PLC0415

        return status(self.watch, VERSION, self.settings, self.under_way, self.options.standstill_seconds)

    def is_healthy(self) -> bool:
        """Whether ticks end well and make progress. Raises OutageError if storage cannot be read."""
        standstill = timedelta(seconds=self.options.standstill_seconds)
        return is_healthy(self.watch.journal.read(), self.watch.now(), self.health_max_age, standstill)

    def history(self, hours: int) -> list[Slot]:
        """Lag and throughput of the last `hours` hours. Raises OutageError."""
        return self.watch.journal.history(self.watch.now() - timedelta(hours=hours))

    def errors(self, query: ErrorQuery, size: int, after: tuple[str, str] | None) -> Sequence[ErrorRow]:
        """A page of an error table. Raises OutageError."""
        return self.watch.errors.page(query, size, after)

    def count_errors(self, query: ErrorQuery) -> ErrorCount:
        """How many rows match the query, and the exceptions in its table. Raises OutageError."""
        return self.watch.errors.count(query)

    def reasons(self) -> "OpenReasons":
        """The open rows, grouped by reason and study. Raises OutageError."""
        from shared.sync.status.reasons import open_reasons  # noqa: PLC0415

        return open_reasons(self.watch.errors)

    def close_torn(self, table: ErrorTable, sequence: int) -> bool:
        """Resolves the rows of a torn entry whose study is unknown; False if there are none. Raises OutageError.

        All other rows are resolved by a later sync, and not by hand.
        """
        rows = [row for row in self.watch.errors.torn(sequence) if row.table is table]
        self.watch.errors.close(rows)
        return bool(rows)

    def latest_entry(self) -> FeedEntry | None:
        """The newest entry of the change feed, which no replay can begin behind. Raises OutageError, FeedError."""
        return self.watch.feed.latest()

    def start_replay(self, asked: ReplayRequest) -> Replay:
        """A new replay, or the one under way for the same request. Raises OutageError, TooManyReplaysError."""
        return self.watch.replays.create(asked)

    def replays(self) -> list[Replay]:
        """The latest replays, newest first. Raises OutageError."""
        return self.watch.replays.latest(LATEST_REPLAYS)

    def replay(self, replay_id: str) -> Replay | None:
        """The replay of this id; None if there is none. Raises OutageError."""
        return self.watch.replays.read(replay_id)

    def cancel_replay(self, replay_id: str) -> Replay | None:
        """Cancels a replay unless it has ended, and returns it; None if there is none. Raises OutageError."""
        return self.watch.replays.cancel(replay_id)

    def audit(self, query: DifferenceQuery) -> AuditState:
        """Where the audit stands, and a page of the differences. Raises OutageError."""
        audit = self._audit()
        rounds, rows = audit.rounds.latest(LATEST_ROUNDS), audit.differences.page(query)
        return AuditState(self.options.audit.mode, rounds, audit.differences.counts(), rows)

    def start_round(self, asked: RoundRequest | str) -> Round | None:
        """A new round; for an id, the stopped round of that id, which goes on with its deletes, or None.

        Raises RoundUnderWayError, OutageError.
        """
        rounds = self._audit().rounds
        begun = rounds.confirm(asked) if isinstance(asked, str) else rounds.create(asked)
        if self.ports.audit:
            self.ports.audit.memory.rests_until = None  # the next tick of this process looks for the round at once
        return begun

    def stop_round(self) -> Round | None:
        """Cancels the round that is under way and returns it; None if none is. Raises OutageError."""
        return self._audit().rounds.cancel()

    def _audit(self) -> "AuditPorts":
        assert self.watch.audit, "bootstrap makes it"
        return self.watch.audit

    def study(self, study_instance_uid: str, partition: str, *, patients: bool) -> "StudyView":
        """One study in DICOM and in FHIR, and what a rebuild would change. Raises SwitchedOffError."""
        return self._page().view(study_instance_uid, partition, patients=patients)

    def find_studies(self, text: str, partition: str | None) -> "FoundStudies":
        """The studies with this StudyInstanceUID, accession number or PatientID. Raises SwitchedOffError."""
        return self._page().find(text, partition)

    def _page(self) -> "StudyPage":
        if self.study_page is None:
            raise SwitchedOffError("DicomCast__Features__StudyPage is `false`: studies are not shown")
        return self.study_page()

    def check(self, number: int | None = None) -> "Check":
        """The self-check of the deployment, or one step of it by its number. Raises RequestError.

        Requests for the same at the same time share one run.
        """
        from shared.sync.status.check import Question, run_check, run_step  # noqa: PLC0415

        def run() -> "Check":
            settings = Question("settings", lambda: f"{len(self.settings)} settings are usable", "")
            questions = [settings, *self.questions()]
            return run_step(questions, number) if number else run_check(questions)

        check: Check = self.under_way.ask(f"self-check, step {number or 'by step'}", run).result()
        return check

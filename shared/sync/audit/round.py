"""A round of the audit, step by step: read a place on both sides, look at suspect studies, record and heal them.

What is recorded depends only on what both sides hold now, so a step that a killed host left half done can be repeated.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from shared.errors import UnforeseenError, UnreadStudyError
from shared.model.audit import (
    MAX_MESSAGE_BYTES,
    AuditMode,
    AuditOptions,
    Chunk,
    Difference,
    Kind,
    Phase,
    Round,
    RoundState,
)
from shared.model.instance import StudyKey
from shared.model.stored_text import shortened
from shared.sync.audit.audit_ports import AuditPorts
from shared.sync.audit.confirm import Finding, Verdict, confirm, is_absent, is_listed
from shared.sync.audit.deletes import allowed_deletes, ripe_deletes
from shared.sync.audit.heal import THERE_AGAIN, heal
from shared.sync.audit.parts import STEP_SECONDS
from shared.sync.audit.passing_by import read_chunk
from shared.sync.audit.rows import LISTED, row_of
from shared.sync.batch import BatchOptions
from shared.sync.bulkhead import Bulkhead, log_unforeseen
from shared.sync.ports import Ports

MOST_ROWS = 10_000
"""Differences of one round that get a row; more are only counted and healed."""
KEPT_DAYS = 90
"""How long the row of a resolved difference is kept."""


class RoundWork:
    """The work on one round, which hosts do in turns."""

    def __init__(self, ports: Ports, audit: AuditPorts, options: BatchOptions, round_: Round) -> None:
        self._ports = ports
        self._audit = audit
        self._options = options
        self._round = round_

    @property
    def _heals(self) -> bool:
        return self._setting.mode is AuditMode.HEAL and not self._round.request.dry_run

    @property
    def _setting(self) -> AuditOptions:
        return self._options.audit

    def step(self) -> Round:
        """The round after one more step. Raises what `read_chunk`, `confirm` and `heal` do."""
        now, failing_since = self._ports.now(), self._round.failing_since
        self._round = replace(self._round, updated=now, waiting_for=None, failing_since=None)
        if self._round.place.phase is Phase.DELETES:
            self._delete(now)
        else:
            self._compare(now, failing_since)
        return self._round

    def _compare(self, now: datetime, failing_since: datetime | None) -> None:
        chunk = self._chunk(failing_since)
        if chunk is None:
            return
        done = self._round.place.after
        rest = [one for one in chunk.suspects if one[0] > done]
        until = now + timedelta(seconds=STEP_SECONDS)
        for key, study in rest:
            self._guard(study, partial(self._look_at, study, is_of_fhir=chunk.is_of_fhir))
            done = key
            if self._ports.now() >= until:
                break
        if not rest or done == rest[-1][0]:
            self._audit.memory.chunk = None
            self._round = replace(self._round.counting(compared=chunk.compared), place=chunk.following)
            if chunk.is_passed_by:
                self._round = self._round.passing_by(chunk.unknown)
            for message in chunk.unknown:
                self._round = self._round.not_knowing(message)
        else:
            self._round = replace(self._round, place=replace(chunk.place, after=done))

    def _chunk(self, failing_since: datetime | None) -> Chunk | None:
        """The chunk at the round's place; None if it takes another step to read.

        It is read again by a host that does not remember it.
        """
        memory, place = self._audit.memory, self._round.place
        known = memory.chunk
        if known is None or (known.round_id, known.place) != (self._round.id, replace(place, after="")):
            known = read_chunk(self._ports, self._audit, self._options.mapping, self._round, failing_since)
            memory.chunk = known
        return known

    def _guard(self, study: StudyKey, work: Callable[[], None]) -> None:
        """A study that meets a bug of the app is put off, and the others go on."""
        try:
            with Bulkhead():
                work()
        except UnforeseenError as error:
            log_unforeseen(error, StudyInstanceUID=study[1], RoundId=self._round.id)
            self._round = self._round.putting_off(study)

    def _look_at(self, study: StudyKey, *, is_of_fhir: bool) -> None:
        if is_of_fhir and not self._is_absent(study):
            return
        verdict = confirm(self._ports, self._audit.studies, self._options.mapping, study)
        match verdict.finding:
            case Finding.SAME:
                self._round = self._round.counting(read=1)
                self._resolve(study, is_healed=False)
            case Finding.KNOWN:
                self._round = self._round.counting(read=1, known=1)
                self._resolve(study, is_healed=False)
            case Finding.PUT_OFF:
                self._round = self._round.putting_off(study)
                self._note_presence(study)
            case Finding.DIFFERS:
                self._record(study, verdict)

    def _note_presence(self, study: StudyKey) -> None:
        """Of a study that was absent before, and is put off: only if the archive answers 404 again is it absent on."""
        known = self._audit.differences.of(study)
        if known and known.absent_since and not self._is_absent(study):
            self._audit.differences.write(replace(known, absent_since=None))

    def _is_absent(self, study: StudyKey) -> bool:
        """False if the archive cannot be asked."""
        try:
            return is_absent(self._ports, self._audit.studies, study)
        except UnreadStudyError:
            return False

    def _record(self, study: StudyKey, verdict: Verdict) -> None:
        """Records a row, and heals the study if the round heals and nothing is deleted by it."""
        is_gone = verdict.kind is Kind.GONE  # the archive does not list it, so it was not counted yet
        self._round = self._round.counting(read=1, differed=1, compared=int(is_gone))
        row = row_of(self._audit.differences.of(study), study, verdict, self._round, self._ports.now())
        if self._round.counts.differed <= MOST_ROWS:
            self._audit.differences.write(row)
        if self._heals and not is_gone and not row.failure:
            self._heal(study, is_gone=False)

    def _heal(self, study: StudyKey, *, is_gone: bool) -> bool:
        most = timedelta(seconds=STEP_SECONDS)
        failure = heal(self._ports, self._options, study, most, is_gone=is_gone)
        self._round = self._round.counting(**{"not_healed" if failure else "healed": 1})
        if failure:
            if known := self._audit.differences.of(study):
                self._audit.differences.write(replace(known, failure=failure))
        else:
            self._resolve(study, is_healed=True)
        return not failure

    def _resolve(self, study: StudyKey, *, is_healed: bool) -> None:
        known = self._audit.differences.of(study)
        if known and not known.resolved_at:
            now = self._ports.now()
            self._audit.differences.write(replace(known, resolved_at=now, is_healed=is_healed, failure=""))

    def _delete(self, now: datetime) -> None:
        """Deletes studies that were absent in two rounds; stops the round if they are too many without confirmation.

        The time that decides which they are is stored first. So a host that is killed before its deletes are counted
        leaves fewer to the next one, and never as many again.
        """
        as_of = self._round.deletes_as_of
        if as_of is None:
            self._round = replace(self._round, deletes_as_of=now)
            return
        ripe = ripe_deletes(self._audit.differences, self._round, as_of, self._setting) if self._heals else []
        if self._round.counts.deleted + len(ripe) > allowed_deletes(self._round, self._setting):
            self._round = replace(self._round, state=RoundState.STOPPED, deletes_waiting=len(ripe))
            return
        until = now + timedelta(seconds=STEP_SECONDS)
        for number, difference in enumerate(ripe, 1):
            self._guard(difference.study, partial(self._delete_one, difference))
            if number < len(ripe) and self._ports.now() >= until:
                return
        self._audit.differences.let_go(now - timedelta(days=KEPT_DAYS))
        self._round = replace(self._round, state=RoundState.DONE, deletes_waiting=0)

    def _delete_one(self, difference: Difference) -> None:
        """Deletes if the study is still absent, since the confirmation may have come late, and no search finds it."""
        study = difference.study
        failure = self._why_not_deleted(study)
        if not failure and self._heal(study, is_gone=True):
            self._round = self._round.counting(deleted=1)
        elif known := self._audit.differences.of(study):
            # The next round tries it again, not the next step of this one.
            self._audit.differences.write(
                replace(known, absent_since=self._ports.now(), failure=failure or known.failure)
            )

    def _why_not_deleted(self, study: StudyKey) -> str:
        try:
            if not is_absent(self._ports, self._audit.studies, study):
                return THERE_AGAIN
            return LISTED if is_listed(self._ports, self._audit.studies, study) else ""
        except UnreadStudyError as error:
            return shortened(str(error), MAX_MESSAGE_BYTES)

"""The JSON body of `POST /api/replay` -> ReplayRequest."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from shared.errors import RequestError
from shared.model.change_feed import DEFAULT_PARTITION, FeedEntry
from shared.model.failures import ErrorTable
from shared.model.replay import ReplayRequest, ReplayTarget, SequenceRange, StoredErrors, StudyRebuild, TimeRange
from shared.web.json_request import JsonRequest, Partition, StudyUid

MAX_ENTRIES = 1_000_000
MAX_DAYS = 366
ALL = "all"
_KINDS = ("sequence", "time", "study", "errors")


class _Sequence(JsonRequest):
    first: int = Field(alias="from", ge=1)
    last: int | None = Field(default=None, alias="to", ge=1)

    def within(self, newest: int) -> SequenceRange:
        """The range, which ends at the feed's end if `to` is missing or lies beyond it."""
        return SequenceRange(self.first, newest if self.last is None else min(self.last, newest))


def _is_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a string with date, time and offset is expected")  # noqa: TRY004 pydantic's way
    return value


_Moment = Annotated[AwareDatetime, BeforeValidator(_is_text), Field(strict=False)]


class _Time(JsonRequest):
    start: _Moment = Field(alias="from")
    end: _Moment = Field(alias="to")


def _is_table(value: str) -> str:
    if value != ALL and value not in list(ErrorTable):
        raise ValueError(f"one of {ALL}, {', '.join(ErrorTable)} is expected")
    return value


class _Body(JsonRequest):
    sequence: _Sequence | None = None
    time: _Time | None = None
    study: StudyUid | None = None
    partition: Partition | None = None
    errors: Annotated[str, AfterValidator(_is_table)] | None = None
    exception: str | None = Field(default=None, pattern=r"^[A-Za-z]{1,100}$")
    dry_run: bool = Field(default=False, alias="dryRun")
    patients: bool = False


def replay_of(text: bytes, latest: FeedEntry | None) -> ReplayRequest:
    """The request in a JSON body. Raises RequestError.

    `latest` is the newest entry of the feed: a range of sequence numbers or times must not begin after it.
    """
    body = _Body.of(text)
    if faults := [*_kind_faults(body), *_range_faults(body, latest)]:
        raise RequestError(faults)
    return ReplayRequest(_target(body, _newest(latest)), body.dry_run, body.patients)


def _newest(latest: FeedEntry | None) -> int:
    return latest.sequence if latest else 0


def _kind_faults(body: _Body) -> list[str]:
    given = [kind for kind in _KINDS if getattr(body, kind) is not None]
    faults = []
    if given not in (["sequence"], ["time"], ["study"], ["errors"], ["study", "errors"]):
        but = f"; {' and '.join(given)} are given" if given else ""
        faults.append(f"exactly one of {', '.join(_KINDS)} is expected (a study may stand beside errors){but}")
    if body.exception and body.errors is None:
        faults.append("exception: it narrows errors down, and errors is not given")
    if body.partition and (body.study is None or body.errors is not None):
        faults.append("partition: it says where a study to rebuild is, and none is given")
    return faults


def _range_faults(body: _Body, latest: FeedEntry | None) -> list[str]:
    faults = []
    newest = _newest(latest)
    if (sequence := body.sequence) is not None:
        asked = sequence.within(newest)
        if sequence.last is not None and sequence.first > sequence.last:
            faults.append("sequence: from is greater than to")
        elif asked.first > newest:
            faults.append(f"sequence.from: the change feed ends at {newest}")
        elif asked.last - asked.first >= MAX_ENTRIES:
            limit = f"at most {MAX_ENTRIES:,} sequence numbers at once"
            faults.append(f"sequence: {limit}, and the change feed ends at {newest}: give a smaller to")
    if (time := body.time) is not None:
        if time.start >= time.end:
            faults.append("time: from is not before to")
        elif time.end - time.start > timedelta(days=MAX_DAYS):
            faults.append(f"time: at most {MAX_DAYS} days at once")
        elif latest is None:
            faults.append("time.from: the change feed ends at its beginning")
        elif latest.timestamp and time.start > datetime.fromisoformat(latest.timestamp):
            faults.append(f"time.from: the change feed ends at {latest.timestamp}")
    return faults


def _target(body: _Body, newest: int) -> ReplayTarget:
    if body.sequence:
        return body.sequence.within(newest)
    if body.time:
        return TimeRange(body.time.start.isoformat(), body.time.end.isoformat())
    if body.errors:
        tables = tuple(ErrorTable) if body.errors == ALL else (ErrorTable(body.errors),)
        return StoredErrors(tables, body.exception, body.study)
    assert body.study
    return StudyRebuild(body.study, body.partition or DEFAULT_PARTITION)

"""The JSON body of `POST /api/audit` -> RoundRequest."""

from datetime import date
from typing import Annotated

from pydantic import Field

from shared.errors import RequestError
from shared.model.audit import Dates, OneStudy, RoundRequest, Scope
from shared.model.change_feed import DEFAULT_PARTITION
from shared.web.json_request import JsonRequest, Partition, StudyUid

_Day = Annotated[date, Field(strict=False)]


class _Dates(JsonRequest):
    first: _Day = Field(alias="from")
    last: _Day = Field(alias="to")


class _Body(JsonRequest):
    dates: _Dates | None = None
    study: StudyUid | None = None
    partition: Partition | None = None
    deep: bool = False
    dry_run: bool = Field(default=False, alias="dryRun")
    confirm: str | None = Field(default=None, pattern=r"^[0-9a-f-]{1,64}$")


def round_of(text: bytes) -> RoundRequest | str:
    """The round to start, or the id of the stopped round whose deletes are confirmed. Raises RequestError."""
    body = _Body.of(text or b"{}")
    if faults := _faults(body):
        raise RequestError(faults)
    return body.confirm or RoundRequest(_scope(body), body.deep, body.dry_run)


def _faults(body: _Body) -> list[str]:
    faults = []
    if body.confirm and len(body.model_fields_set) > 1:
        faults.append("confirm: it stands alone")
    if body.dates and body.study:
        faults.append("one of dates, study is expected; both are given")
    if body.dates and body.dates.first > body.dates.last:
        faults.append("dates: from is after to")
    if body.partition and not body.study:
        faults.append("partition: it says where a study is, and none is given")
    return faults


def _scope(body: _Body) -> Scope:
    if body.dates:
        return Dates(body.dates.first, body.dates.last)
    return OneStudy(body.study, body.partition or DEFAULT_PARTITION) if body.study else None

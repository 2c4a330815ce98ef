"""What a round of the audit is asked with: a JSON body, every fault of it named at once."""

import json
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.audit import Dates, OneStudy, RoundRequest, Scope
from shared.errors import RequestError
from shared.mapping.text import uid
from shared.model import DEFAULT_PARTITION


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


_Day = Annotated[date, Field(strict=False)]


class _Dates(_Strict):
    first: _Day = Field(alias="from")
    last: _Day = Field(alias="to")


class _Body(_Strict):
    dates: _Dates | None = None
    study: Annotated[str, AfterValidator(uid)] | None = None
    partition: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    deep: bool = False
    dry_run: bool = Field(default=False, alias="dryRun")
    confirm: str | None = Field(default=None, pattern=r"^[0-9a-f-]{1,64}$")


def parse_round(text: bytes) -> RoundRequest | str:
    """The round that is asked for, or the id of a stopped one whose deletes are confirmed. Raises RequestError."""
    try:
        given = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        raise RequestError(["the body is not JSON"]) from None
    if not isinstance(given, dict):
        raise RequestError(["the body is not a JSON object"])
    try:
        body = _Body.model_validate(given)
    except ValidationError as error:
        raise RequestError([_told(fault["loc"], fault["msg"]) for fault in error.errors(include_url=False)]) from None
    if faults := _faults(body, given):
        raise RequestError(faults)
    return body.confirm or RoundRequest(_scope(body), body.deep, body.dry_run)


def _faults(body: _Body, given: dict[str, object]) -> list[str]:
    faults = []
    if body.confirm and len(given) > 1:
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


def _told(location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(map(str, location))
    said = message.removeprefix("Value error, ")
    return f"{place}: {said[:1].lower()}{said[1:]}" if place else said

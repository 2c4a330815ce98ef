"""Records of the app's own in a column of a row, as JSON."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")
_PARSERS: dict[Any, Callable[[str], Any]] = {}

logger = logging.getLogger(__name__)


def json_of(record: Any) -> str:
    """The record as JSON."""
    return msgspec.json.encode(record).decode()


def parsed(kind: type[Kind], json: str) -> Kind:
    """The record in the JSON. Raises ValueError if it is none of this kind."""
    if kind not in _PARSERS:
        _PARSERS[kind] = _parser(kind)
    record: Kind = _PARSERS[kind](json)
    return record


def record_of(kind: type[Kind], table: str, row: Mapping[str, Any]) -> Kind | None:
    """The record in the row's column `Record`; None, and a warning, if it cannot be read."""
    try:
        return parsed(kind, row["Record"])
    except (KeyError, TypeError, ValueError):
        logger.warning("the row %s of %s cannot be read, and is passed over", row.get("RowKey"), table)
        return None


def _parser(kind: Any) -> Callable[[str], Any]:
    try:
        return msgspec.json.Decoder(kind).decode
    except TypeError:  # it has a union of records, which only pydantic tells apart by their fields
        from pydantic import TypeAdapter  # noqa: PLC0415 a tick with neither replay nor audit does without

        return TypeAdapter(kind).validate_json

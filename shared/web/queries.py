"""The parameters in the path and query of requests. Each function raises RequestError, which names every fault."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import RequestError
from shared.mapping.text import InvalidValueError, uid
from shared.model.audit import DifferenceQuery, Kind
from shared.model.change_feed import DEFAULT_PARTITION, PARTITION_NAME
from shared.model.failures import ErrorQuery, ErrorRow, ErrorTable
from shared.web.json_object import json_object

MAX_PAGE, DEFAULT_PAGE = 200, 50
MAX_HOURS, DEFAULT_HOURS = 168, 24
MAX_SEARCHED = 64
MAX_STEPS = 99
MAX_KEY = 512  # characters of a table's key, which has 1 KiB


def wants_metrics(params: Mapping[str, str]) -> bool:
    """Whether the `format` of the status is Prometheus's text instead of JSON."""
    return bool(_read(params, {"format": _one_of("json", "prometheus")}, format="json")["format"] == "prometheus")


def hours_of(params: Mapping[str, str]) -> int:
    """`hours` of the history."""
    return int(_read(params, {"hours": _whole(1, MAX_HOURS)}, hours=DEFAULT_HOURS)["hours"])


def step_of(params: Mapping[str, str]) -> int | None:
    """`step` of the self-check; None: all of them."""
    step: int | None = _read(params, {"step": _whole(1, MAX_STEPS)}, step=None)["step"]
    return step


def page_of(table: str | None, params: Mapping[str, str]) -> tuple[ErrorQuery, int, tuple[str, str] | None] | None:
    """The rows to read, the size of the page, and the key of the row before it. None if there is no such table."""
    if table not in list(ErrorTable):
        return None
    readers = {
        "open": _one_of("true", "false"),
        "study": uid,
        "exception": _class_name,
        "size": _whole(1, MAX_PAGE),
        "after": _place,
    }
    read = _read(params, readers, open="true", study=None, exception=None, size=DEFAULT_PAGE, after=None)
    query = ErrorQuery(ErrorTable(table), read["open"] == "true", read["study"], read["exception"])
    return query, read["size"], read["after"]


def differences_of(params: Mapping[str, str]) -> DifferenceQuery:
    """The audit's differences to read, and how many."""
    readers = {
        "open": _one_of("true", "false"),
        "kind": _one_of(*Kind),
        "size": _whole(1, MAX_PAGE),
        "after": _digest,
    }
    read = _read(params, readers, open="true", kind=None, size=DEFAULT_PAGE, after="")
    return DifferenceQuery(read["open"] == "true", read["kind"] and Kind(read["kind"]), read["size"], read["after"])


def row_of(route_params: Mapping[str, str]) -> tuple[ErrorTable, int] | None:
    """Table and sequence number. None if there is no such table."""
    table = route_params.get("table")
    if table not in list(ErrorTable):
        return None
    read = _read({"sequence": route_params.get("sequence", "")}, {"sequence": _whole(1, 2**63 - 1)})
    return ErrorTable(table), read["sequence"]


def study_of(route_params: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str, bool]:
    """StudyInstanceUID, data partition, and whether the rebuild that is shown may overwrite Patients."""
    given = {**params, "uid": route_params.get("uid", "")}
    readers = {"uid": uid, "partition": _partition, "patients": _one_of("true", "false")}
    read = _read(given, readers, partition=DEFAULT_PARTITION, patients="false")
    return read["uid"], read["partition"], read["patients"] == "true"


def search_of(body: bytes) -> tuple[str, str | None]:
    """The text to search studies by, and the data partition.

    They come in the body, because URLs are logged and a PatientID must not be.
    """
    given = json_object(body)
    texts = {"text": "", **{str(name): value if isinstance(value, str) else "\0" for name, value in given.items()}}
    read = _read(texts, {"text": _searched, "partition": _partition}, partition=None)
    return read["text"], read["partition"]


def id_of(route_params: Mapping[str, str]) -> str:
    """`id` of a replay."""
    if not re.fullmatch(r"[0-9a-f-]{1,64}", replay_id := route_params.get("id", "")):
        raise RequestError(["id: digits, a to f and hyphens are expected"])
    return replay_id


def place_of(row: ErrorRow) -> str:
    """The `next` of a page that ends with this row; the next page is asked for with it as `after`."""
    return base64.urlsafe_b64encode(json.dumps(row.key).encode()).decode()


def _read(params: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]], **values: Any) -> dict[str, Any]:
    faults = [f"{name}: no such parameter" for name in params if name not in readers and name != "code"]
    for name, reader in readers.items():
        if name not in params:
            continue
        try:
            values[name] = reader(params[name])
        except ValueError as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise RequestError(faults)
    return values


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise InvalidValueError(f"{' or '.join(words)} is expected")
        return text

    return read


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise InvalidValueError(f"a whole number from {low} to {high} is expected")
        return int(text)

    return read


def _class_name(text: str) -> str:
    if not text.isascii() or not text.isalpha():
        raise InvalidValueError("the name of an exception's class is expected")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise InvalidValueError("the `next` of a page is expected")
    return text


def _searched(text: str) -> str:
    """At most as long as a value of VR LO; SH and UI are no longer (PS3.5 6.2)."""
    if not (text := text.strip()) or len(text) > MAX_SEARCHED or not text.isprintable() or "\\" in text:
        raise InvalidValueError(f"1 to {MAX_SEARCHED} characters are expected, and no backslash")
    return text


def _partition(text: str) -> str:
    if not re.fullmatch(PARTITION_NAME, text):
        raise InvalidValueError("the name of a data partition is expected")
    return text


def _place(text: str) -> tuple[str, str]:
    try:
        place = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, RecursionError):
        place = None
    match place:
        case [str(partition), str(row)] if _is_key(partition) and _is_key(row):
            return partition, row
    raise InvalidValueError("the `next` of a page is expected")


def _is_key(text: str) -> bool:
    """Whether storage can be asked for it: it takes no control characters, and half a surrogate cannot be sent."""
    return len(text) <= MAX_KEY and text.isprintable()

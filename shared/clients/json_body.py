"""The bodies of requests and answers as JSON: by a fast parser, and by `json` what that does not take."""

import contextlib
import json
from typing import Any

import msgspec

from shared.clients.http import Answer

NOT_TAKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What the fast parser raises where `json` is to have a look."""


def json_of(answer: Answer) -> Any:
    """The body as JSON; raises ValueError with what was wrong, never with the body."""
    with contextlib.suppress(*NOT_TAKEN):
        return msgspec.json.decode(answer.content)
    try:  # tolerant of what the fast parser is not: UTF-16, halves of surrogate pairs, NaN
        return json.loads(answer.content)
    except RecursionError:
        what = "too deeply nested JSON"
    except ValueError as error:
        what = f"no JSON at character {error.pos if isinstance(error, json.JSONDecodeError) else 0}"
    kind = answer.headers.get("Content-Type", "no content type")
    raise ValueError(f"{what} of {len(answer.content)} bytes ({kind})")


def json_bytes(body: Any) -> bytes:
    """JSON in UTF-8; escaped where text cannot be."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # half of a surrogate pair in what somebody else wrote
        return json.dumps(body).encode()

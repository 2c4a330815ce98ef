"""The bodies of requests and answers as JSON: by a fast parser, and by `json` what that does not take."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import msgspec

from shared.clients.http import Answer

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
"""The digits of a decimal are kept as they are written: those that others wrote are theirs (R4 datatypes, decimal)."""

NOT_TAKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What the fast parser raises where `json` is to have a look."""


def decoded(text: bytes | msgspec.Raw) -> Any:
    """JSON by the fast parser. Raises one of NOT_TAKEN."""
    return _DECODER.decode(text)


def json_of(answer: Answer) -> Any:
    """The body as JSON; raises ValueError with what was wrong, never with the body."""
    with contextlib.suppress(*NOT_TAKEN):
        return decoded(answer.content)
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
        return _ENCODER.encode(body)
    except UnicodeEncodeError:  # half of a surrogate pair in what somebody else wrote
        return json.dumps(body, default=float).encode()

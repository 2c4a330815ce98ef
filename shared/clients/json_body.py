"""The bodies of requests and answers as JSON: by a fast parser, and by Python's `json` if that one fails."""

import contextlib
import json
from decimal import Decimal
from typing import Any

import msgspec

from shared.clients.http_answer import Answer

_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
"""Decimals keep their digits as other systems wrote them, as R4 asks for (datatypes.html#decimal)."""

NOT_TAKEN = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What the fast parser raises if `json` is to try."""


def decoded(text: bytes | msgspec.Raw) -> Any:
    """JSON by the fast parser. Raises one of NOT_TAKEN if it fails."""
    return _DECODER.decode(text)


def json_of(answer: Answer) -> Any:
    """The body as JSON. Raises ValueError, whose message says what is wrong and holds nothing of the body."""
    with contextlib.suppress(*NOT_TAKEN):
        return decoded(answer.content)
    try:  # takes also UTF-16, lone surrogates and NaN
        return json.loads(answer.content)
    except RecursionError:
        what = "too deeply nested JSON"
    except ValueError as error:
        what = f"no JSON at character {error.pos if isinstance(error, json.JSONDecodeError) else 0}"
    kind = answer.headers.get("Content-Type", "no content type")
    raise ValueError(f"{what} of {len(answer.content)} bytes ({kind})")


def json_bytes(body: Any) -> bytes:
    """The body in UTF-8; what UTF-8 cannot express is escaped."""
    try:
        return _ENCODER.encode(body)
    except UnicodeEncodeError:  # a lone surrogate in what another system wrote
        return json.dumps(body, default=float).encode()

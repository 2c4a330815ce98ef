"""The JSON object that a request's body is to be."""

import json
from typing import Any

from shared.errors import RequestError


def json_object(body: bytes) -> dict[str, Any]:
    """Its members, which may be anything. Raises RequestError."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(["the body is not JSON"]) from None
    if not isinstance(given, dict):
        raise RequestError(["the body is not a JSON object"])
    return given

"""The body of a request that must be a JSON object."""

import json
from typing import Any

from shared.errors import RequestError


def json_object(body: bytes) -> dict[str, Any]:
    """The members of the object, unchecked. Raises RequestError if the body is anything else."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(["the body is not JSON"]) from None
    if not isinstance(given, dict):
        raise RequestError(["the body is not a JSON object"])
    return given

"""Requests that come as JSON, by pydantic: every fault of one is named at once, and no value is told."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import RequestError
from shared.web.json_object import json_object


class JsonRequest(BaseModel):
    """A JSON object with these members and no others, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The request in a body. Raises RequestError."""
        given = json_object(body)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False)
            raise RequestError([_told(fault) for fault in faults]) from None


def _told(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"]))
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}" if place else message

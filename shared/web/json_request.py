"""JSON requests, checked by pydantic. An error names every fault of a request, and none of its values."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import RequestError
from shared.mapping.text import uid
from shared.model.change_feed import PARTITION_NAME
from shared.web.json_object import json_object

StudyUid = Annotated[str, AfterValidator(uid)]
Partition = Annotated[str, Field(pattern=f"^{PARTITION_NAME}$")]


class JsonRequest(BaseModel):
    """Base of the requests: other members than a model declares are faults, and so are values of other types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @classmethod
    def of(cls, body: bytes) -> Self:
        """The request in a body. Raises RequestError."""
        given = json_object(body)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False)
            raise RequestError([_message(fault) for fault in faults]) from None


def _message(fault: Any) -> str:
    place = ".".join(map(str, fault["loc"]))
    text = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else text

"""Azure's resource types, from the documents that `fetch` has stored; no type is known where there are none."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.bicep.types import ANY, BOOL, INT, OPEN, STRING, Array, Field, Object, Scalar, Type, either

SCHEMAS = Path(__file__).parents[3] / ".local" / "bicep-schemas"
_SIMPLE: Mapping[str, Type] = {
    "string": STRING,
    "int": INT,
    "bool": BOOL,
    "any": ANY,
    "object": OPEN,
    "array": Array(ANY),
}


class Schema:
    """One resource type in one API version."""

    def __init__(self, document: list[dict[str, Any]]) -> None:
        (self._resource,) = (one for one in document if one["$type"] == "Resource")
        self._named = {one["name"]: one for one in document if one["$type"].endswith("Object")}
        self.api_version: str = self._resource["name"].partition("@")[2]

    def body(self, name: str | None) -> Object:
        """What a resource of this type is; `name` chooses where the type depends on it, as with `sites/config`."""
        found = self._resource["bodyType"]
        if found["$type"] == "DiscriminatedObject":
            elements = {_value(one, found["discriminator"]): one for one in found["elements"]}
            found = elements.get(name or "", {"properties": [], "name": found["name"]})
        return self._object(found)

    def _object(self, found: dict[str, Any]) -> Object:
        if found.get("$type") == "DiscriminatedObject":
            return Object(found["name"], dict, ANY)
        extra = self._type(found["additionalPropertiesType"]) if "additionalPropertiesType" in found else None
        return Object(found["name"], lambda: {one["name"]: self._field(one) for one in found["properties"]}, extra)

    def _field(self, one: dict[str, Any]) -> Field:
        flags = one.get("flags", "")
        return Field(self._type(one["type"]), "Required" in flags, "ReadOnly" in flags)

    def _type(self, said: str) -> Type:
        if said.endswith("[]"):
            return Array(self._type(said[:-2]))
        if said in _SIMPLE:
            return _SIMPLE[said]
        if said in self._named:
            return self._object(self._named[said])
        # `A | B | string` takes any text, but what is not one of the known is a slip in a file of ours.
        words = said.split(" | ")
        if "string" in words or not any(word in self._named for word in words):
            return Scalar("string", frozenset(words) - {"string"})
        return either(*(self._type(word) for word in words))


@cache
def schema(resource_type: str) -> Schema | None:
    """None where nothing is stored for the type."""
    path = stored(resource_type)
    return Schema(json.loads(path.read_text())) if path.exists() else None


def stored(resource_type: str) -> Path:
    """Where the type's document is kept."""
    return SCHEMAS / f"{resource_type.replace('/', '_')}.json"


def _value(element: dict[str, Any], discriminator: str) -> str:
    return next(str(one["type"]) for one in element["properties"] if one["name"] == discriminator)

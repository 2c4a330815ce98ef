"""Parses of DICOM JSON only the tags that the mapping reads, as building all tags of an instance takes most time."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypedDict

import msgspec

from shared.clients.http_answer import Answer
from shared.clients.json_body import NOT_TAKEN, decoded, json_of

_FIELDS = (
    "Sequence",
    "StudyInstanceUid",
    "SeriesInstanceUid",
    "SopInstanceUid",
    "Action",
    "Timestamp",
    "State",
    "PartitionName",
)


class MetadataParser:
    """Parses metadata, and change feed entries with metadata. Threads may share it.

    `keep`: gives the tags to read. It is called by the first page, as a tick without entries needs no mapping.

    An element with the same text as in the instance before becomes the same object. Most elements repeat throughout a
    series, and a batch of 20,000 entries would otherwise not fit the memory of a small host.
    """

    def __init__(self, keep: Callable[[], frozenset[str]]) -> None:
        self._keep = keep
        self._last: dict[str, tuple[msgspec.Raw, Any]] = {}

    @cached_property
    def _metadata(self) -> Any:
        metadata: Any = TypedDict("metadata", dict.fromkeys(self._keep(), msgspec.Raw), total=False)  # type: ignore[misc]
        return metadata

    @cached_property
    def _entries(self) -> "msgspec.json.Decoder[Any]":
        fields: dict[str, Any] = {**dict.fromkeys(_FIELDS, Any), "Metadata": self._metadata | None}
        entry: Any = TypedDict("entry", fields, total=False)  # type: ignore[misc]
        return msgspec.json.Decoder(list[entry])

    @cached_property
    def _instances(self) -> "msgspec.json.Decoder[Any]":
        return msgspec.json.Decoder(list[self._metadata])  # type: ignore[name-defined]

    def entries(self, answer: Answer) -> Any:
        """The JSON of change feed entries. Raises ValueError if the body is not JSON.

        JSON of another shape is returned as it is: the caller checks it.
        """
        try:
            entries = self._entries.decode(answer.content)
            for entry in entries:
                if entry.get("Metadata"):
                    self._build(entry["Metadata"])
        except NOT_TAKEN:
            return _each_object(json_of(answer), self._kept_of_entry)
        return entries

    def instances(self, answer: Answer) -> Any:
        """The JSON of a list of metadata. Raises ValueError if the body is not JSON; its shape is not checked."""
        try:
            return self.instances_of(answer.content)
        except NOT_TAKEN:
            return _each_object(json_of(answer), self._kept)

    def instances_of(self, text: bytes) -> list[Any]:
        """A list of metadata. Raises one of NOT_TAKEN if it is not one, or needs the slower parser."""
        instances: list[Any] = self._instances.decode(text)
        for metadata in instances:
            self._build(metadata)
        return instances

    def _build(self, metadata: dict[str, Any], parse: Callable[[msgspec.Raw], Any] = decoded) -> None:
        """Replaces the text of each element by the element."""
        for key, text in metadata.items():
            last = self._last.get(key)
            if last is None or last[0] != text:  # a copy is kept, as the text itself refers to the whole answer
                last = self._last[key] = text.copy(), parse(text)
            metadata[key] = last[1]

    def _kept_of_entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        metadata = entry.get("Metadata")
        return {**entry, "Metadata": self._kept(metadata)} if isinstance(metadata, dict) else entry

    def _kept(self, metadata: dict[str, Any]) -> dict[str, Any]:
        texts = {key: json.dumps(metadata[key], default=float).encode() for key in self._keep() & metadata.keys()}
        kept: dict[str, Any] = {key: msgspec.Raw(text) for key, text in texts.items()}
        self._build(kept, lambda text: json.loads(bytes(text)))
        return kept


def _each_object(items: Any, changed: Callable[[dict[str, Any]], Any]) -> Any:
    return [changed(one) if isinstance(one, dict) else one for one in items] if isinstance(items, list) else items

"""One entry of the change feed, read from its JSON, and its timestamp, which is finer than a datetime."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any

from shared.errors import TornAnswerError
from shared.model.change_feed import DEFAULT_PARTITION, PARTITION_NAME, Action, ChangeFeedEntry, State, TornEntry

_MOST = 2**63 - 1
"""The largest sequence that a column of the watermark's row can hold."""
_IDENTITY = ("StudyInstanceUid", "SeriesInstanceUid", "SopInstanceUid")


def entry_of(item: Any, url: str) -> ChangeFeedEntry:
    """The entry out of its JSON. Raises TornAnswerError, which names the URL, the sequence and the field."""
    sequence = sequence_of(item, url)
    try:
        return ChangeFeedEntry(
            sequence=sequence,
            study_instance_uid=_field(item, "StudyInstanceUid"),
            series_instance_uid=_field(item, "SeriesInstanceUid"),
            sop_instance_uid=_field(item, "SopInstanceUid"),
            action=_action(_field(item, "Action")),
            state=_state(_field(item, "State")),
            timestamp=_timestamp(item),
            partition=_partition(item),
            metadata=_metadata(item),
        )
    except ValueError as error:
        raise TornAnswerError(f"{url}: entry {sequence}: {error}") from None


def sequence_of(item: Any, url: str) -> int:
    """The entry's sequence number. Raises TornAnswerError."""
    if not isinstance(item, dict):
        raise TornAnswerError(f"{url}: a change feed entry is not a JSON object")
    sequence = item.get("Sequence")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 1 <= sequence <= _MOST:
        raise TornAnswerError(f"{url}: an entry's Sequence is not a positive whole number of 64 bits")
    return sequence


def torn_entry_of(item: Any, url: str, message: str) -> TornEntry:
    """What can be read of an entry that is at fault. Raises TornAnswerError if its sequence cannot."""
    sequence = sequence_of(item, url)
    uids = {name: item[name] for name in _IDENTITY if isinstance(item.get(name), str)}
    timestamp, partition = None, DEFAULT_PARTITION
    with suppress(ValueError):
        timestamp = _timestamp(item)
    with suppress(ValueError):
        partition = _partition(item)
    study, series, instance = (uids.get(name, "") for name in _IDENTITY)
    return TornEntry(sequence, timestamp, message, study, series, instance, partition)


def _field(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing or not a string")
    if not value.isascii():  # these are UIDs, codes and times; other text may not be valid UTF-8
        raise ValueError(f"{name} is not ASCII text")
    return value


@lru_cache(maxsize=16)
def _action(name: str) -> Action:
    return Action(name.lower())


@lru_cache(maxsize=16)
def _state(name: str) -> State:
    return State(name.lower())


def _partition(item: Mapping[str, Any]) -> str:
    if not item.get("PartitionName"):
        return DEFAULT_PARTITION
    name = _field(item, "PartitionName")
    if not re.fullmatch(PARTITION_NAME, name):
        raise ValueError("PartitionName is not 1 to 64 letters, digits, dots, hyphens and underscores")
    return name


def _timestamp(item: Mapping[str, Any]) -> str:
    text = _field(item, "Timestamp")
    if moment(text).tzinfo is None:
        raise ValueError("Timestamp has no offset")
    return text


def _metadata(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    metadata = item.get("Metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise ValueError("Metadata is not a JSON object")
    return metadata


def moment(timestamp: str) -> datetime:
    """The time of an ISO 8601 text with an offset, cut to microseconds."""
    return datetime.fromisoformat(timestamp)


def hundred_nanoseconds(timestamp: str) -> int:
    """The time in units of 100 ns since the epoch, which is how fine the feed's order is."""
    whole = moment(timestamp).replace(microsecond=0)
    fraction = timestamp.partition(".")[2]
    digits = fraction[: next((i for i, char in enumerate(fraction) if not char.isdigit()), len(fraction))]
    return int(whole.timestamp()) * 10_000_000 + int(digits.ljust(7, "0")[:7] or "0")

"""Answers of other systems to HTTP requests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response with its whole body."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """An HTTP response whose body is still to be read, in `pieces` of 128 KiB at most."""

    status_code: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]

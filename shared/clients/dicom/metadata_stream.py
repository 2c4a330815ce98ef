"""Reads a list of DICOM JSON instance by instance while it comes, as a study's may be larger than the host's memory."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.http_answer import Answer, Stream
from shared.clients.json_body import NOT_TAKEN

PART_BYTES = 2**17
"""About as much is parsed at once: what fits a processor's cache is parsed fastest."""
MOST_BYTES = 2**26
"""The largest instance."""

_SPACE = b" \t\n\r"
_OPENING = re.compile(rb'\{[ \t\n\r]*"[^"\\]*"')
_ATTEMPTS = 4
_ANOTHER = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?=\{)")
_scan = json.JSONDecoder().raw_decode


def streamed_instances(
    stream: Stream, parser: MetadataParser, part_bytes: int = PART_BYTES, most_bytes: int = MOST_BYTES
) -> Iterator[Mapping[str, Any]]:
    """The instances in the order of the list. Raises ValueError if it is not a list of them, or is cut off.

    The instances before a fault have been yielded by then, and the caller has to discard them.
    """
    buffer, wanted, is_list = bytearray(), part_bytes, False
    for piece in stream.pieces:
        buffer += piece
        if len(buffer) < wanted:
            continue
        if not is_list and buffer.lstrip(_SPACE).startswith(b"["):
            is_list = True
            del buffer[: buffer.index(b"[") + 1]
        part, used = _first_part(bytes(buffer), parser, stream.headers) if is_list else ([], 0)
        yield from part
        del buffer[:used]
        if len(buffer) > most_bytes:
            raise ValueError(f"more than {most_bytes} bytes without the end of an instance")
        wanted = len(buffer) + part_bytes if used else 2 * len(buffer)
    yield from _parsed(b"[" * is_list + bytes(buffer), parser, stream.headers)


def _first_part(text: bytes, parser: MetadataParser, headers: Mapping[str, str]) -> tuple[list[Mapping[str, Any]], int]:
    """The whole instances at the beginning of `text`, and its length up to the next one; none and 0 if none is whole.

    To find where the last whole one ends, a place is guessed at which an object begins with the same key as the first
    instance, and the text before it is parsed as a list. If the place lies within an instance, that fails, and an
    earlier place is tried.
    """
    first_opening = _OPENING.match(text.lstrip(_SPACE))
    at = len(text)
    for _ in range(_ATTEMPTS if first_opening else 0):
        at = text.rfind(first_opening[0], 0, at) if first_opening else 0
        if at <= 0:
            break
        before = text[:at].rstrip(_SPACE)
        if before.endswith(b","):
            try:
                return parser.instances_of(b"[%b]" % before[:-1]), at
            except NOT_TAKEN:
                continue
    end, at = _whole_ones(text)
    return (_parsed(b"[%b]" % text[:end], parser, headers), at) if at else ([], 0)


def _whole_ones(text: bytes) -> tuple[int, int]:
    """Where the last whole value that is followed by an object ends, and where that object begins; 0, 0 if none is.

    This is slow, as it parses all tags, and is used if `_first_part` guessed no place.
    """
    characters = text.decode("latin-1")  # a character for each byte; those of JSON's syntax are the same in UTF-8
    end = at = 0
    begin = len(text) - len(text.lstrip(_SPACE))
    while True:
        try:
            _, stop = _scan(characters, begin)
        except (ValueError, RecursionError):  # not whole yet; if it is wrong, the end of the list reports it
            return end, at
        another = _ANOTHER.match(characters, stop)
        if not another:
            return end, at
        end, at = stop, another.end()
        begin = at


def _parsed(text: bytes, parser: MetadataParser, headers: Mapping[str, str]) -> list[Mapping[str, Any]]:
    items = parser.instances(Answer(200, headers, text))
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise ValueError("the answer is not a JSON array of DICOM JSON objects")
    return items

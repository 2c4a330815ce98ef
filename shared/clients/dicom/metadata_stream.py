"""A list of DICOM JSON that comes in pieces, instance by instance: a study's may be larger than the host's memory."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.clients.dicom.metadata_parser import MetadataParser
from shared.clients.http import Answer, Stream
from shared.clients.json_body import NOT_TAKEN

PART_BYTES = 2**17
"""What is parsed at once, or somewhat more: what fits the cache of a processor is parsed quickest."""
MOST_BYTES = 2**26
"""Of one instance."""

_SPACE = b" \t\n\r"
_OPENING = re.compile(rb'\{[ \t\n\r]*"[^"\\]*"')
_TRIES = 4
_ANOTHER = re.compile(r"[ \t\n\r]*,[ \t\n\r]*(?=\{)")
_scan = json.JSONDecoder().raw_decode


def streamed_instances(
    stream: Stream, parser: MetadataParser, part_bytes: int = PART_BYTES, most_bytes: int = MOST_BYTES
) -> Iterator[Mapping[str, Any]]:
    """The instances of the list, in its order; raises ValueError where it is none, also where it is cut off.

    What stands before a fault has been given by then: to who reads, a fault makes all of it unread.
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
    """Instances at the beginning of `text`, and how much of it they and the comma behind them are; none, 0: none yet.

    They are cut off where an object begins as the first one does. Up to there the text is parsed as a list: inside of
    an instance that is an error, whatever stands in it, and an earlier place is tried.
    """
    begun = _OPENING.match(text.lstrip(_SPACE))
    at = len(text)
    for _ in range(_TRIES if begun else 0):
        at = text.rfind(begun[0], 0, at) if begun else 0
        if at <= 0:
            break
        before = text[:at].rstrip(_SPACE)
        if before.endswith(b","):
            try:
                return parser.strictly(b"[%b]" % before[:-1]), at
            except NOT_TAKEN:
                continue
    end, at = _whole_ones(text)
    return (_parsed(b"[%b]" % text[:end], parser, headers), at) if at else ([], 0)


def _whole_ones(text: bytes) -> tuple[int, int]:
    """Where the last whole value ends that has an object behind it, and where that begins; 0, 0 where there is none.

    This builds all tags of the values, and is for those in which `_first_part` found no place.
    """
    characters = text.decode("latin-1")  # a character for each byte: JSON's own are the same in UTF-8
    end = at = 0
    begin = len(text) - len(text.lstrip(_SPACE))
    while True:
        try:
            _, stop = _scan(characters, begin)
        except (ValueError, RecursionError):  # the last is torn, or what is wrong is told when all is there
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

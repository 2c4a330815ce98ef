"""Shortens texts for storage, where a property holds 64 KiB of UTF-16."""

import json


def stored_bytes(text: str) -> int:
    """The bytes that the text takes in a property of its own."""
    return len(text.encode("utf-16-le", "replace"))


def json_bytes(text: str) -> int:
    """The bytes that it takes within a JSON document that is stored as text."""
    return stored_bytes(json.dumps(text, ensure_ascii=False))


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and how many characters are left out; at most `most` bytes of UTF-16."""
    sent = text.encode("utf-16-le", "replace")  # half a surrogate pair becomes "?"
    if len(sent) <= most:
        return sent.decode("utf-16-le")
    note = " … ({:,} characters left out)"
    beginning = sent[: most - stored_bytes(note.format(len(text)))].decode("utf-16-le", "ignore")
    return beginning + note.format(len(text) - len(beginning))

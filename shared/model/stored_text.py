"""Texts on their way into storage, where a property holds 64 KiB of UTF-16: cut before they are sent."""

import json


def stored_bytes(text: str) -> int:
    """What the text takes in a property of its own."""
    return len(text.encode("utf-16-le", "replace"))


def json_bytes(text: str) -> int:
    """What it takes within a JSON document that is stored as text."""
    return stored_bytes(json.dumps(text, ensure_ascii=False))


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and how many characters are left out; in so many bytes of UTF-16 at most."""
    sent = text.encode("utf-16-le", "replace")  # half a surrogate pair can be told to nobody
    if len(sent) <= most:
        return sent.decode("utf-16-le")
    said = " … ({:,} characters left out)"
    beginning = sent[: most - stored_bytes(said.format(len(text)))].decode("utf-16-le", "ignore")
    return beginning + said.format(len(text) - len(beginning))

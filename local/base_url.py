"""Reads a server's base URL from the command line."""

import argparse
from urllib.parse import urlsplit


def base_url(text: str) -> str:
    """The http or https URL without slashes at its end. Raises ArgumentTypeError if the text is not one."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: http://HOST:PORT or https://HOST is expected")
    return text.rstrip("/")

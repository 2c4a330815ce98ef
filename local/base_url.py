"""A server's base URL, as the command line takes it."""

import argparse
from urllib.parse import urlsplit


def base_url(text: str) -> str:
    """An http or https URL with a host, without slashes at its end."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL: http://HOST:PORT or https://HOST is expected")
    return text.rstrip("/")

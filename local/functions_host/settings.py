"""Reads local.settings.json and host.json."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class HostError(Exception):
    """The host cannot start; the message is for the person at the terminal."""


def read_app_settings(path: Path) -> dict[str, str]:
    """The `Values` of local.settings.json. Raises HostError, which names the file and the key."""
    values = _read_object(path).get("Values")
    if not isinstance(values, dict):
        raise HostError(f"{path}: an object `Values` is expected")
    wrong = [key for key, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise HostError(f"{path}: the value of {', '.join(wrong)} must be a string")
    return values


def read_host_json(root: Path) -> dict[str, Any]:
    """The content of host.json in the app's folder. Raises HostError."""
    return _read_object(root / "host.json")


def resolved(text: str, settings: Mapping[str, str], where: str) -> str:
    """A binding's text, with each `%NAME%` replaced by the app setting. `where`: what the text is of, for the error.

    Raises HostError if the setting is missing.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise HostError(f"{where}: the app setting {match[1]} is missing")
        return settings[match[1]]

    return re.sub(r"%([^%]+)%", value, text)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HostError(f"{path} is not there") from None
    except json.JSONDecodeError as error:
        raise HostError(f"{path} is not JSON: {error.msg} in line {error.lineno}") from None
    if not isinstance(content, dict):
        raise HostError(f"{path}: a JSON object is expected")
    return content

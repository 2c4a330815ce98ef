"""The result of the app's own audit, in addition to the independent comparison, which shares no code with it."""

import time
from typing import Any

import requests
from rich.console import Console

_TIMEOUT = 30
_UNDER_WAY = ("queued", "running")


def audit_result(functions_url: str, key: str, seconds: float) -> tuple[str, bool]:
    """Has the app audit all studies without writing anything, and waits at most `seconds` for it.

    Returns the app's sentence, and whether the audit has ended without finding a difference. Raises RequestException.
    """
    url, headers = f"{functions_url}/api/audit", {"x-functions-key": key}
    asked = {"deep": True, "dryRun": True}
    requests.post(url, json=asked, headers=headers, timeout=_TIMEOUT).raise_for_status()
    deadline = time.monotonic() + seconds
    while (round_ := _last_round(url, headers)) and round_["state"] in _UNDER_WAY and time.monotonic() < deadline:
        time.sleep(0.2)
    if round_ is None:
        return "no round of it is known", False
    return str(round_["says"]), round_["state"] == "done" and not round_["counts"]["differed"]


def print_last_audit(console: Console, functions_url: str, key: str) -> None:
    """Prints the sentence of the app's last audit; nothing if the app does not answer or has done none."""
    try:
        round_ = _last_round(f"{functions_url}/api/audit", {"x-functions-key": key})
    except (requests.RequestException, ValueError, KeyError):
        return
    if round_:
        console.print(f"the app's own audit: {round_['says']}")


def _last_round(url: str, headers: dict[str, str]) -> dict[str, Any] | None:
    answer = requests.get(url, params={"size": 1}, headers=headers, timeout=_TIMEOUT)
    answer.raise_for_status()
    rounds: list[dict[str, Any]] = answer.json()["rounds"]
    return rounds[0] if rounds else None

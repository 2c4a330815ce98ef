"""What the app's own audit says, beside the independent comparison, which shares no code with it."""

import time
from typing import Any

import requests
from rich.console import Console

_TIMEOUT = 30
_UNDER_WAY = ("queued", "running")


def audited(functions_url: str, key: str, seconds: float) -> tuple[str, bool]:
    """Has the app read all studies now, and heal nothing: what it says of them, and whether it found nothing."""
    url, headers = f"{functions_url}/api/audit", {"x-functions-key": key}
    asked = {"deep": True, "dryRun": True}
    requests.post(url, json=asked, headers=headers, timeout=_TIMEOUT).raise_for_status()
    deadline = time.monotonic() + seconds
    while (round_ := _last(url, headers)) and round_["state"] in _UNDER_WAY and time.monotonic() < deadline:
        time.sleep(0.2)
    if round_ is None:
        return "no round of it is known", False
    return str(round_["says"]), round_["state"] == "done" and not round_["counts"]["differed"]


def tell_last_audit(console: Console, functions_url: str, key: str) -> None:
    """The last round's sentence, where the app answers and has done one."""
    try:
        round_ = _last(f"{functions_url}/api/audit", {"x-functions-key": key})
    except (requests.RequestException, ValueError, KeyError):
        return
    if round_:
        console.print(f"the app's own audit: {round_['says']}")


def _last(url: str, headers: dict[str, str]) -> dict[str, Any] | None:
    answer = requests.get(url, params={"size": 1}, headers=headers, timeout=_TIMEOUT)
    answer.raise_for_status()
    rounds: list[dict[str, Any]] = answer.json()["rounds"]
    return rounds[0] if rounds else None

"""`python -m local check`: the app's self-check, as a table that grows step by step."""

from collections.abc import Iterator
from typing import Any

import requests
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.console import console_on_stdout

_STYLES = {"ok": "green", "failed": "red", "skipped": "dim"}
_STEP_SECONDS = 60
_NO_KEY = "401: the function key is missing or wrong; `make run` prints it, --key takes it"


class _NotTheAppError(Exception):
    """What answers is not the app, or not to this key: the message says so."""


def check(url: str, key: str) -> int:
    """The exit code: 1 where a step failed, or the app does not answer. `url` is the functions host's."""
    console = console_on_stdout()
    steps: list[dict[str, Any]] = []
    try:
        with Live(console=console, transient=True) as live:
            for ended, following in _steps(url, key):
                steps += ended
                if console.file.isatty():
                    asking = Spinner("dots", f"the app asks: {following}") if following else ""
                    live.update(Group(_table(steps), asking))
    except requests.RequestException:
        console.print(
            f"nothing answers at {url}: start it with `make run`, or where that is up with"
            " `make start PART=functions`, or name another with --functions",
            style="red",
        )
        return 1
    except _NotTheAppError as error:
        console.print(str(error), style="red")
        return 1
    console.print(_table(steps))
    return 1 if any(step["state"] == "failed" for step in steps) else 0


def _steps(url: str, key: str) -> Iterator[tuple[list[dict[str, Any]], str | None]]:
    """The steps as they end, and what is asked then."""
    following: dict[str, Any] | None = {"step": 1, "name": "its settings"}
    yield [], "its settings"
    while following:
        headers, asked = {"x-functions-key": key}, {"step": following["step"]}
        answer = requests.get(f"{url}/api/check", asked, headers=headers, timeout=_STEP_SECONDS)
        if answer.status_code == requests.codes.unauthorized:
            raise _NotTheAppError(_NO_KEY)
        said = _said(answer)
        if said is None:
            what = (
                f"{url} answers {answer.status_code} to /api/check, and not as this app does: is it the functions host?"
            )
            raise _NotTheAppError(f"{what} --functions names another")
        following = said["next"]
        yield said["steps"], following["name"] if following else None


def _table(steps: list[dict[str, Any]]) -> Table:
    table = Table("step", "", "s", "found", "what to do")
    for step in steps:
        state = Text(step["state"], _STYLES[step["state"]])
        table.add_row(step["name"], state, f"{step['seconds']:.2f}", step["message"], step["action"] or "")
    return table


def _said(answer: requests.Response) -> dict[str, Any] | None:
    """The step of the self-check; None where it is none."""
    try:
        said = answer.json()
    except ValueError:
        return None
    is_check = isinstance(said, dict) and isinstance(said.get("steps"), list) and "next" in said
    return said if is_check else None

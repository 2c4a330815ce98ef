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
    """The URL is not this app's, or the key is wrong; the message is for the person at the terminal."""


def check(url: str, key: str) -> int:
    """Runs the app's self-check and prints its steps. Returns the exit code: 1 if a step fails or the app is silent.

    `url`: of the functions host. `key`: the function key.
    """
    console = console_on_stdout()
    steps: list[dict[str, Any]] = []
    try:
        with Live(console=console, transient=True) as live:
            for ended, next_step in _steps(url, key):
                steps += ended
                if console.file.isatty():
                    asking = Spinner("dots", f"the app asks: {next_step}") if next_step else ""
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
    """Has the app run its steps. Gives those that have ended, and the name of the next; None after the last.

    Raises RequestException if nothing answers, _NotTheAppError.
    """
    next_step: dict[str, Any] | None = {"step": 1, "name": "its settings"}
    yield [], "its settings"
    while next_step:
        headers, asked = {"x-functions-key": key}, {"step": next_step["step"]}
        answer = requests.get(f"{url}/api/check", asked, headers=headers, timeout=_STEP_SECONDS)
        if answer.status_code == requests.codes.unauthorized:
            raise _NotTheAppError(_NO_KEY)
        content = _check_result(answer)
        if content is None:
            message = (
                f"{url} answers {answer.status_code} to /api/check, and not as this app does: is it the functions host?"
            )
            raise _NotTheAppError(f"{message} --functions names another")
        next_step = content["next"]
        yield content["steps"], next_step["name"] if next_step else None


def _table(steps: list[dict[str, Any]]) -> Table:
    table = Table("step", "", "s", "found", "what to do")
    for step in steps:
        state = Text(step["state"], _STYLES[step["state"]])
        table.add_row(step["name"], state, f"{step['seconds']:.2f}", step["message"], step["action"] or "")
    return table


def _check_result(answer: requests.Response) -> dict[str, Any] | None:
    """The answer's JSON: `steps` that have ended, and `next`. None if it is not an answer of the self-check."""
    try:
        content = answer.json()
    except ValueError:
        return None
    is_check = isinstance(content, dict) and isinstance(content.get("steps"), list) and "next" in content
    return content if is_check else None

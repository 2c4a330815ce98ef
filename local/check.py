"""`python -m local check`: the app's self-check, as a table."""

from typing import Any

import requests
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from local.console import console_on_stdout

_STYLES = {"ok": "green", "failed": "red", "skipped": "dim"}
_ANSWER_SECONDS = 230
_NO_KEY = "401: the function key is missing or wrong; `make run` prints it, --key takes it"


def check(url: str, key: str) -> int:
    """The exit code: 1 where a step failed, or the app does not answer. `url` is the functions host's."""
    console = console_on_stdout()
    try:
        answer = _asked(console, url, key)
    except requests.RequestException:
        told = f"nothing answers at {url}: start it with `make run`, or name another with --functions"
        console.print(told, style="red")
        return 1
    if answer.status_code == requests.codes.unauthorized:
        console.print(_NO_KEY, style="red")
        return 1
    said = _said(answer)
    if said is None:
        what = f"{url} answers {answer.status_code} to /api/check, and not as this app does: is it the functions host?"
        console.print(f"{what} --functions names another", style="red")
        return 1
    table = Table("step", "", "s", "found, or what to do")
    for step in said["steps"]:
        state = Text(step["state"], _STYLES[step["state"]])
        table.add_row(step["name"], state, f"{step['seconds']:.2f}", step["message"])
    console.print(table)
    return 0 if said["ok"] else 1


def _asked(console: Console, url: str, key: str) -> requests.Response:
    """The answer; meanwhile a terminal shows that it takes its time: a minute where all systems are silent."""
    columns = SpinnerColumn(), TextColumn("the app asks its systems"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.file.isatty()) as progress:
        progress.add_task("", total=None)
        return requests.get(f"{url}/api/check", headers={"x-functions-key": key}, timeout=_ANSWER_SECONDS)


def _said(answer: requests.Response) -> dict[str, Any] | None:
    """The self-check; None where it is none."""
    try:
        said = answer.json()
    except ValueError:
        return None
    is_check = isinstance(said, dict) and isinstance(said.get("steps"), list) and "ok" in said
    return said if is_check else None

"""`python -m local check`: the app's self-check, as a table."""

import requests
from rich.table import Table
from rich.text import Text

from local.console import console_on_stdout

_STYLES = {"ok": "green", "failed": "red", "skipped": "dim"}


def check(url: str, key: str) -> int:
    """The exit code: 1 where a step failed, or the app does not answer. `url` is the functions host's."""
    console = console_on_stdout()
    try:
        answer = requests.get(f"{url}/api/check", headers={"x-functions-key": key}, timeout=230)
    except requests.RequestException:
        told = f"nothing answers at {url}: start it with `make run`, or name another with --functions"
        console.print(told, style="red")
        return 1
    if answer.status_code == requests.codes.unauthorized:
        console.print("401: the function key is missing or wrong; `make run` prints it, --key takes it", style="red")
        return 1
    table = Table("step", "", "s", "found, or what to do")
    for step in answer.json()["steps"]:
        state = Text(step["state"], _STYLES[step["state"]])
        table.add_row(step["name"], state, f"{step['seconds']:.2f}", step["message"])
    console.print(table)
    return 0 if answer.json()["ok"] else 1

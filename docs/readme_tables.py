"""Writes the tables of README.md and docs/ from the code: `make docs`. A test keeps them the same."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

from docs import rooms
from docs.cost import cost_table
from shared.mapping.dose.components import COMPONENTS
from shared.mapping.table import TABLE, Row
from shared.settings.authentication import CREDENTIALS, SWITCHES
from shared.settings.config import SETTINGS
from shared.settings.transport import TRANSPORT

MAPPING = Path(__file__).parent / "mapping.md"
DEPLOY = Path(__file__).parent / "deploy.md"
CONFIGURATION = Path(__file__).parent / "configuration.md"
ARCHITECTURE = Path(__file__).parent / "architecture.md"
DECISIONS = Path(__file__).parent / "adr/README.md"


def mapping_table() -> str:
    """The mapping as Markdown, a row per row of the code's table."""
    head = "| FHIR | DICOM | required | merged by | note |\n| :--- | :--- | :--- | :--- | :--- |\n"
    return head + "".join(f"| {' | '.join(_cells(row))} |\n" for row in TABLE)


def _cells(row: Row) -> tuple[str, ...]:
    tags = ", ".join(f"{tag.display} {tag.keyword}" for tag in row.tags)
    return f"`{row.path}`", tags, "yes" if row.required else "", row.how, _note(row)


def _note(row: Row) -> str:
    return ("*ours* " if row.ours else "") + row.note.replace("|", "\\|")


def component_table() -> str:
    """The components of dose Observations as Markdown."""
    head = "| Observation | code | value | DICOM | |\n| :--- | :--- | :--- | :--- | :--- |\n"
    rows = [
        (
            ", ".join(sorted(row.of, reverse=True)),
            row.name,
            f"`{row.element}`",
            row.template,
            "*ours*" if row.ours else "",
        )
        for row in COMPONENTS
    ]
    return head + "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in rows)


def settings_table() -> str:
    """The settings as Markdown."""
    head = "| name | default | meaning |\n| :--- | :--- | :--- |\n"
    rows = [(setting.name, setting) for setting in SETTINGS]
    of_each = itertools.chain(TRANSPORT, SWITCHES, *CREDENTIALS.values())
    rows += [(f"{{DicomWeb,Fhir}}__{setting.name}", setting) for setting in of_each]
    return head + "".join(f"| `{name}` | {_default(row.default)} | {row.meaning} |\n" for name, row in rows)


def _default(default: str | None) -> str:
    if default is None:
        return "**required**"
    return f"`{default}`" if default else ""


def decisions_table() -> str:
    """The decisions by number, each with its title."""
    lines = []
    for path in sorted(DECISIONS.parent.glob("[0-9]*.md")):
        number, title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        lines.append(f"| {number} | [{title}]({path.name}) |\n")
    return "| | |\n| ---: | :--- |\n" + "".join(lines)


TABLES: dict[Path, dict[str, Callable[[], str]]] = {
    MAPPING: {"mapping": mapping_table, "components": component_table},
    CONFIGURATION: {"settings": settings_table},
    DEPLOY: {"cost": cost_table},
    ARCHITECTURE: {"picture": rooms.picture, "rooms": rooms.table},
    DECISIONS: {"decisions": decisions_table},
}


def written(path: Path) -> str:
    """The document's text with its tables made anew."""
    text = path.read_text(encoding="utf-8")
    for name, table in TABLES[path].items():
        block = re.compile(rf"(<!-- {name}: made by `make docs` -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"{path.name} has no `{name}` block to write the table into")
        made = table()
        text = block.sub(lambda match, made=made: f"{match[1]}{made}{match[2]}", text)
    return text


if __name__ == "__main__":
    for path in TABLES:
        path.write_text(written(path), encoding="utf-8")

"""Writes the README's mapping and settings tables from the code: `make docs`. A test keeps them the same."""

import itertools
import re
from pathlib import Path

from shared.authentication import CREDENTIALS, SWITCHES
from shared.config import SETTINGS
from shared.mapping.table import TABLE, Row

README = Path(__file__).parents[1] / "README.md"


def mapping_table() -> str:
    """The mapping as Markdown, a row per row of the code's table."""
    head = "| FHIR | DICOM | required | merged by | note |\n| :--- | :--- | :--- | :--- | :--- |\n"
    return head + "".join(f"| {' | '.join(_cells(row))} |\n" for row in TABLE)


def _cells(row: Row) -> tuple[str, ...]:
    tags = ", ".join(f"{tag.display} {tag.keyword}" for tag in row.tags)
    return f"`{row.path}`", tags, "yes" if row.required else "", row.how, _note(row)


def _note(row: Row) -> str:
    return ("*ours* " if row.ours else "") + row.note.replace("|", "\\|")


def settings_table() -> str:
    """The settings as Markdown."""
    head = "| name | default | meaning |\n| :--- | :--- | :--- |\n"
    rows = [(setting.name, setting) for setting in SETTINGS]
    credentials = itertools.chain(SWITCHES, *CREDENTIALS.values())
    rows += [(f"{{DicomWeb,Fhir}}__{setting.name}", setting) for setting in credentials]
    return head + "".join(f"| `{name}` | {_default(row.default)} | {row.meaning} |\n" for name, row in rows)


def _default(default: str | None) -> str:
    if default is None:
        return "**required**"
    return f"`{default}`" if default else ""


def written(text: str) -> str:
    """The README's text with its tables made anew."""
    for name, table in (("mapping", mapping_table()), ("settings", settings_table())):
        block = re.compile(rf"(<!-- {name}: made by `make docs` -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not block.search(text):
            raise ValueError(f"README.md has no `{name}` block to write the table into")
        text = block.sub(lambda match, table=table: f"{match[1]}{table}{match[2]}", text)
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text()))

"""One setting: its name, its default, its meaning, and the reader of its text."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.settings.readers import FaultError, token_url, without_query


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table in docs/configuration.md.

    `default` is text, as it would stand in the environment; None if the setting is required. The value of a `secret` is
    shown to nobody.
    """

    name: str
    field: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str
    secret: bool = False

    def shown(self, given: Mapping[str, str], prefix: str = "") -> str:
        """The value in force, as an operator may see it."""
        value = given.get((prefix + self.name).lower(), "") or self.default or ""
        if self.parse is token_url:
            value = without_query(value)
        return "***" if self.secret and value else value


def read_rows(rows: Iterable[Setting], given: Mapping[str, str], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """The values by field, and the faults. `given` has its names in lower case, because case does not matter."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for row in rows:
        name = prefix + row.name
        value = given.get(name.lower(), "") or row.default
        if value is None:
            faults.append(f"{name} is missing: {row.meaning}")
            continue
        try:
            values[row.field] = row.parse(value)
        except FaultError as fault:
            faults.append(f"{name}: {fault}")
    return values, faults

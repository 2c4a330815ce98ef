"""What the stack's programs say on stdout: to a person at a terminal, or line by line to a log or a pipe."""

import io
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

_NO_LIMIT = 1_000_000, 25  # columns and lines, where there is no terminal to ask


def console_on_stdout() -> Console:
    """A console whose messages, and rows of tables, are one line each where stdout is no terminal, however long.

    Strings are printed as they are: brackets and colons stand in paths and in servers' answers, and are no markup.
    What stdout's encoding lacks is escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width, height = (None, None) if sys.stdout.isatty() else _NO_LIMIT
    return _Literal(width=width, height=height, markup=False, emoji=False)


def one_line(text: str) -> str:
    r"""The text with line ends and all else that is not printable escaped, as in `two\nlines`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class _Literal(Console):
    """Rich asks this method for every string, a table's cells too."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As Console's; a string from outside cannot begin a line, or move a terminal's cursor."""
        return super().render_str(one_line(text), **options)

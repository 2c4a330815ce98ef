"""How the stack's programs print: formatted at a terminal, one line for each message in a log or a pipe."""

import io
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

_NO_LIMIT = 1_000_000, 25  # columns and lines, if stdout is not a terminal


def console_on_stdout() -> Console:
    """A console on stdout. If that is not a terminal, each message and each row of a table is one line.

    Strings are printed literally: brackets and colons in paths or servers' answers are not read as markup. Characters
    that stdout's encoding lacks are escaped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width, height = (None, None) if sys.stdout.isatty() else _NO_LIMIT
    return _Literal(width=width, height=height, markup=False, emoji=False)


def one_line(text: str) -> str:
    r"""The text with line ends and all other characters that cannot be printed escaped, as in `two\nlines`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class _Literal(Console):
    """Prints strings literally. Rich calls `render_str` for every string, those in a table's cells too."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As Console's, but text from outside can neither begin a new line nor move a terminal's cursor."""
        return super().render_str(one_line(text), **options)

"""What the programs of the local stack say where there is no terminal: a log's lines, each a whole message."""

import io
import sys

import pytest
from rich.table import Table

from local.console import console_on_stdout, one_line

LONG = "/folder" * 200
ENVIRONMENTS = [{}, {"COLUMNS": "20"}, {"FORCE_COLOR": "1", "TERM": "dumb"}]


@pytest.fixture(params=ENVIRONMENTS, ids=lambda given: " ".join(given) or "as it is")
def environment(request, monkeypatch):
    """A terminal's width is no width of a pipe."""
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "message",
    [
        "no such file",
        f"{LONG}/one.dcm: no such file",
        f"{'many words ' * 200}end",
        "[red]/folder[0]/[/]one.dcm: [bold]no[/bold] such file",
        ":cat:/one.dcm",
    ],
    ids=lambda message: message[:12],
)
def test_a_message_is_one_line_and_literal(message, environment, capsys):
    """However long; what looks like markup is part of a path or of a server's answer."""
    console_on_stdout().print(message)
    assert capsys.readouterr().out == f"{message}\n"


def test_a_row_of_a_table_is_one_line(environment, capsys):
    """Its cells are whole: a row can be searched for."""
    table = Table("study", "", "s")
    table.add_row("[1]", f"{LONG}; {'many words ' * 20}end", "0.10")
    console_on_stdout().print(table)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "[1]" in line]
    assert f"{LONG}; {'many words ' * 20}end" in row
    assert "0.10" in row


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-9"])
def test_what_the_locale_cannot_write_is_escaped(encoding, monkeypatch):
    """It ends no program: an ellipsis or a letter of a file's name is not worth it."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    console_on_stdout().print("Patient/1… \u0142.dcm")
    sys.stdout.flush()
    assert written.getvalue() == b"Patient/1\\u2026 \\u0142.dcm\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain é łódź 画像.dcm", "plain é łódź 画像.dcm"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[2Jcleared", "\\x1b[2Jcleared"),
        ("not\udcffUTF-8.dcm", "not\\udcffUTF-8.dcm"),
        ("next\u2028line", "next\\u2028line"),
    ],
)
def test_one_line(text, line):
    """A name or an answer with line ends or control characters is shown with them escaped."""
    assert one_line(text) == line

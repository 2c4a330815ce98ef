"""Text files are UTF-8 here, whatever the locale of the machine."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [ROOT / "function_app.py"] + [
    path for folder in ("shared", "local", "docs", "infra") for path in sorted((ROOT / folder).rglob("*.py"))
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_read_or_written_as_text_names_its_encoding(path):
    """Else it is the locale's: under LC_ALL=C the page would end in an error, under Latin-1 its letters be torn."""
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    silent = [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"read_text", "write_text"}
        and not any(given.arg == "encoding" for given in call.keywords)
    ]
    assert silent == []

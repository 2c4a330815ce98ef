"""The one-way road of the design, held by reading the imports."""

import ast
from pathlib import Path

import pytest

from docs.rooms import ROOMS_OF_SYNC

ROOT = Path(__file__).parents[2]
PURE_LIBRARIES = {
    "azure",
    "requests",
    "logging",
    "os",
    "time",
    "random",
    "socket",
    "pathlib",
    "tenacity",
    "opentelemetry",
}

RECORDS = {"model", "failures", "outcome"}

# room -> the rooms of the app that it may import from
ALLOWED = {
    "model": set(),
    "failures": {"model"},
    "outcome": {"failures", "model"},
    "errors": {"failures"},
    "journal": {"outcome", "model", "stored_text"},
    "replay": {"failures", "model", "stored_text"},
    "audit": {"model", "stored_text"},
    "stored_text": set(),
    "log_lines": set(),
    "garbage": set(),
    "deadline": set(),
    "setting": {"audit", "mapping", "model"},
    "authentication": {"setting"},
    "transport": {"setting"},
    "config": {"audit", "authentication", "transport", "setting", "errors", "model"},
    "mapping": {"mapping", "failures", "model", "errors"},
    "sync": RECORDS
    | {"sync", "mapping", "journal", "replay", "log_lines", "errors", "deadline"}
    | {"audit", "stored_text"},
    "clients": RECORDS
    | {"clients", "authentication", "transport", "setting", "journal", "replay", "stored_text", "errors", "deadline"}
    | {"audit"},
    "web": RECORDS | {"web", "sync", "mapping", "journal", "replay", "audit", "errors"},
    "app": RECORDS | {"sync", "journal", "replay", "audit", "errors"},
    "connections": {"clients", "config", "authentication", "transport", "deadline"},
    "bootstrap": {"app", "connections", "sync", "clients", "mapping", "config", "errors", "failures", "deadline"}
    | {"log_lines", "garbage", "audit"},
    "api": {"bootstrap", "web", "errors"},
    "function_app": {"bootstrap", "api", "log_lines", "garbage", "errors"},
}


MODULES = [ROOT / "function_app.py"] + [p for p in sorted((ROOT / "shared").rglob("*.py")) if p.stem != "__init__"]


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "shared" else parts[0]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    """function_app -> api -> bootstrap -> {sync, clients}, sync -> mapping; records and errors for all; never back."""
    own = {name.split(".")[1] for name in imports(path) if name.startswith("shared.")}
    assert own <= ALLOWED[room(path)]


@pytest.mark.parametrize("path", sorted((ROOT / "shared/mapping").glob("*.py")), ids=lambda path: path.name)
def test_the_mapping_is_pure(path):
    """No I/O, clock, environment or logger in mapping/."""
    assert not {name.split(".")[0] for name in imports(path)} & PURE_LIBRARIES
    assert ".now(" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "shared/sync").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_sync_knows_protocols_not_azure(path):
    """The loop can be read, and tested, without any outside system."""
    assert not {name.split(".")[0] for name in imports(path)} & {"azure", "requests", "opentelemetry"}


def test_the_app_never_imports_what_is_not_deployed():
    """local/, tests/ and docs/ stay behind."""
    foreign = {
        (path.name, name)
        for path in MODULES
        for name in imports(path)
        if name.split(".")[0] in {"local", "tests", "docs"}
    }
    assert not foreign


def test_the_rooms_of_sync_are_the_words_of_the_road():
    """Beside them stand the batch and the tick, what they need of the world, and what bounds a fault."""
    rooms = {path.name for path in (ROOT / "shared/sync").iterdir() if path.is_dir() and path.name != "__pycache__"}
    loose = {path.stem for path in (ROOT / "shared/sync").glob("*.py")}
    assert (rooms, loose) == (set(ROOMS_OF_SYNC), {"__init__", "batch", "bulkhead", "handover", "ports", "tick"})

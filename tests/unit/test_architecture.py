"""The one-way road of the design, held by reading the imports."""

import ast
import graphlib
from pathlib import Path

import pytest

from docs.rooms import ROOMS_WITHIN

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

# room -> the rooms of the app that it may import from
ALLOWED = {
    "model": {"model"},
    "errors": {"model"},
    "process": {"process", "model"},
    "settings": {"settings", "mapping", "model", "errors"},
    "mapping": {"mapping", "model", "errors"},
    "sync": {"sync", "mapping", "model", "errors", "process"},
    "clients": {"clients", "settings", "model", "errors", "process"},
    "web": {"web", "bootstrap", "sync", "mapping", "model", "errors"},
    "app": {"sync", "model", "errors"},
    "bootstrap": {"app", "sync", "clients", "mapping", "settings", "model", "errors", "process"},
    "function_app": {"bootstrap", "web", "errors", "process"},
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
    """function_app -> web -> bootstrap -> {sync, clients}, sync -> mapping; records and errors for all; never back."""
    own = {name.split(".")[1] for name in imports(path) if name.startswith("shared.")}
    assert own <= ALLOWED[room(path)]


def test_no_modules_import_each_other():
    """Neither for types alone nor inside a function: what two modules need of each other stands in a third."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    modules = graphlib.TopologicalSorter()
    for name, path in names.items():
        imported = set(imports(path))
        modules.add(name, *({one for one in names if one in imported or _is_of(one, imported)} - {name}))
    modules.prepare()  # raises CycleError, which names them


def _is_of(module, imported):
    return any(one.startswith(f"{module}.") and one.count(".") == module.count(".") + 1 for one in imported)


@pytest.mark.parametrize("path", sorted((ROOT / "shared/mapping").rglob("*.py")), ids=lambda path: path.name)
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


LOOSE = {
    ".": {"__init__", "app", "bootstrap", "errors"},
    "sync": {"__init__", "batch", "bulkhead", "handover", "ports", "tick"},
}


@pytest.mark.parametrize("room", [*ROOMS_WITHIN, "."])
def test_the_rooms_are_those_of_the_architecture_s_page(room):
    """In sync the words of the road; beside them stand the batch, the tick, what they need, and what bounds a fault."""
    place = ROOT / "shared" / room
    rooms = {path.name for path in place.iterdir() if path.is_dir() and path.name not in {"__pycache__", "dashboard"}}
    assert rooms == set(ROOMS_WITHIN.get(room, ALLOWED.keys() - {"function_app", *LOOSE["."]}))
    assert room not in LOOSE or {path.stem for path in place.glob("*.py")} == LOOSE[room]


@pytest.mark.parametrize("room", ROOMS_WITHIN["clients"])
def test_a_client_knows_nothing_of_the_others(room):
    """What they share stands in clients/ itself."""
    others = {f"shared.clients.{one}" for one in ROOMS_WITHIN["clients"]} - {f"shared.clients.{room}"}
    used = {
        ".".join(name.split(".")[:3])
        for path in (ROOT / "shared/clients" / room).glob("*.py")
        for name in imports(path)
    }
    assert not used & others

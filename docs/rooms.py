"""The rooms of the app and what they import of each other, read from the code, for architecture.md."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS_WITHIN = {
    "sync": ("read", "map", "merge", "transact", "record", "queue", "replay", "audit", "status"),
    "mapping": ("dose",),
    "clients": ("dicom", "fhir", "azure"),
}
"""Those of sync in the road's order."""
RECORDS = "model, settings, errors, process"
"""What all may use, and what leads into none of the rooms that do something."""
_DOING = {"clients", "sync", "web"}


def imports() -> Mapping[str, set[str]]:
    """What each room, or module that stands in none, imports of the others."""
    found: dict[str, set[str]] = {}
    for path in [ROOT / "function_app.py", *sorted((ROOT / "shared").rglob("*.py"))]:
        name = _room(path)
        if name != "__init__":
            found.setdefault(name, set()).update(one for one in _imported(path) if one != name)
    return found


def picture() -> str:
    """The rooms as a Mermaid flowchart; what all may use stands apart, without arrows."""
    of_all, road = imports(), " ~~~ ".join(f'{one}["{one}"]' for one in ROOMS_WITHIN["sync"])
    acting = _acting(of_all)
    lines = ["flowchart TD", '  subgraph sync["sync"]', f"    direction LR\n    {road}", "  end"]
    lines += [f'  {room}["{room}"]' for room in sorted(acting - {"sync"})]
    lines += [f'  records["{RECORDS}"]']
    arrows = {(room, used) for room in acting for used in of_all[room] & acting}
    lines += [f"  {room} --> {used}" for room, used in sorted(arrows)]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def table() -> str:
    """Each room with the first line of what it says of itself."""
    of_all = imports()
    acting = _acting(of_all)
    rooms = [(f"`{one}`", _says(one), ", ".join(sorted(of_all[one] & acting))) for one in sorted(acting)]
    within = [f"{room}/{one}" for room, ones in ROOMS_WITHIN.items() for one in ones]
    rooms += [(f"`{one}`", _says(one), "") for one in within]
    rooms += [(f"`{one}`", _says(one), "") for one in sorted(of_all.keys() - acting)]
    head = "| room, or module | what it is | imports of the rooms |\n| :--- | :--- | :--- |\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rooms)


def _acting(of_all: Mapping[str, set[str]]) -> set[str]:
    """The rooms, and the modules from which one is reached."""
    acting = _DOING | {"mapping"}
    while more := {room for room, used in of_all.items() if used & acting - {"mapping"}} - acting:
        acting |= more
    return acting


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "shared" else parts[0]


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "shared":
            names = [f"shared.{one.name}" for one in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("shared."))


def _says(room: str) -> str:
    """The docstring's first paragraph."""
    places = (f"shared/{room}/__init__.py", f"shared/{room}.py", f"{room}.py")
    path = next(ROOT / one for one in places if (ROOT / one).exists())
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split()).replace("|", "\\|")

"""The names that others rely on: operators, their queries and alerts, stored rows, and who moves over from DICOM Cast.

Code may be renamed freely, these names may not. `python -m tests.unit.test_names` writes the file anew; a name that goes
missing there needs a migration and a line in CHANGELOG.md.
"""

import ast
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from shared.model.audit import Round
from shared.model.journal import Journal, Slot
from shared.model.replay import Replay
from shared.model.watermark import Hole, Marks

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests/data/names.yaml"
STORED = (Journal, Slot, Replay, Round, Hole, Marks)
"""What the app keeps as JSON, with all that is in them."""


def trees(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def nodes(kind, *folders):
    for tree in trees(*folders):
        yield from (node for node in ast.walk(tree) if isinstance(node, kind))


def texts(*folders):
    """All string literals."""
    return (node.value for node in nodes(ast.Constant, *folders) if isinstance(node.value, str))


def called(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def as_text(node):
    """A literal; of an f-string its fixed parts."""
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def settings():
    return [as_text(call.args[0]) for call in nodes(ast.Call, "shared/settings") if called(call) == "Setting"]


def tables():
    """Tables, the container, and the error tables."""
    assigned = [
        node
        for node in nodes(ast.Assign, "shared/clients/azure")
        if getattr(node.targets[0], "id", "") in {"TABLE", "CONTAINER"}
    ]
    return [as_text(node.value) for node in assigned] + enum("ErrorTable")


def enum(name):
    (found,) = [node for node in nodes(ast.ClassDef, "shared/model") if node.name == name]
    return [as_text(one.value) for one in found.body if isinstance(one, ast.Assign)]


def columns():
    return [one for one in texts("shared/clients/azure") if re.fullmatch(r"([A-Z][a-z]+)+(UID)?(At|By)?", one)]


def stored_fields():
    """Of each record, those of the records in it too, and the values of enumerations."""
    for kind in STORED:
        schema = TypeAdapter(kind).json_schema()
        for one in (schema, *schema.get("$defs", {}).values()):
            yield from (f"{kind.__name__}: {name}" for name in (*one.get("properties", ()), *one.get("enum", ())))


def api():
    """Properties of the API's JSON, its parameters and paths."""

    def walk(value):
        if isinstance(value, dict):
            yield from value.get("properties", ()) if isinstance(value.get("properties"), dict) else ()
            yield from [value["name"]] if "in" in value and "name" in value else []
            for one in value.values():
                yield from walk(one)
        elif isinstance(value, list):
            for one in value:
                yield from walk(one)

    described = yaml.safe_load((ROOT / "shared/web/openapi.yaml").read_text(encoding="utf-8"))
    return [*walk(described), *described["paths"]]


def metrics():
    """Of the Prometheus text, and of OpenTelemetry."""
    in_code = (as_text(node) for node in nodes((ast.Constant, ast.JoinedStr), "shared/web", "shared/clients"))
    return [one for one in in_code if one and re.fullmatch(r"dicom_cast_\w+|\{\}(\.\w+)+", one)]


def dimensions():
    """Of log lines and spans: the arguments that are named in PascalCase."""
    names = (one.arg for call in nodes(ast.Call, "shared") for one in call.keywords)
    return [name for name in names if name and name[0].isupper()]


def log_texts():
    """The fixed parts of what is logged."""
    found = []
    for call in nodes(ast.Call, "shared"):
        if called(call) == "log_line":
            found.append(as_text(call.args[2]))
        elif isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "logger" and call.args:
            found.append(as_text(call.args[1] if call.func.attr == "log" else call.args[0]))
    return [one for one in found if one]


def exceptions():
    """PartitionKeys of error rows, and what the remedies and docs call them."""
    (remedies,) = [
        node for node in nodes(ast.Assign, "shared/web") if getattr(node.targets[0], "id", "") == "_BY_EXCEPTION"
    ]
    classes = ast.parse((ROOT / "shared/errors.py").read_text(encoding="utf-8")).body
    return [node.name for node in classes if isinstance(node, ast.ClassDef)] + [
        as_text(key) for key in remedies.value.keys
    ]


KINDS = (settings, tables, columns, stored_fields, api, metrics, dimensions, log_texts, exceptions)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_names_that_others_rely_on_stay(kind):
    """To the letter."""
    assert sorted(set(kind())) == yaml.safe_load(FILE.read_text(encoding="utf-8"))[kind.__name__]


if __name__ == "__main__":
    pinned = {kind.__name__: sorted(set(kind())) for kind in KINDS}
    FILE.write_text(yaml.safe_dump(pinned, allow_unicode=True, sort_keys=False, width=200), encoding="utf-8")

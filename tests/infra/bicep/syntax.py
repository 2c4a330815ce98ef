"""Bicep files as trees (tree-sitter's grammar): what a file declares, and its syntax errors."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_KINDS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
    "type_declaration": "type",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One `param`, `var`, `resource`, `module`, `output` or `type`.

    `value` is None where a parameter has no default; a loop or condition is still around it. `target` is a resource's
    type and API version or a module's path.
    """

    kind: str
    name: str
    node: Node
    type: Node | None = None
    value: Node | None = None
    target: str = ""
    existing: bool = False
    decorators: dict[str, Node | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BicepFile:
    """A parsed file. `imports` is the file that each imported name comes from."""

    path: Path
    declarations: tuple[Declaration, ...]
    imports: dict[str, Path]
    faults: tuple[Fault, ...]

    def named(self, kind: str) -> dict[str, Declaration]:
        """The declarations of a kind, by name."""
        return {one.name: one for one in self.declarations if one.kind == kind}


def read(path: Path, text: str | None = None) -> BicepFile:
    """The file, or `text` as if it were the file's."""
    content = path.read_text() if text is None else text
    root = _PARSER.parse(content.encode()).root_node
    faults = tuple(Fault(path, line_of(node), f"cannot be parsed: {text_of(node)[:40]!r}") for node in _errors(root))
    declarations: list[Declaration] = []
    imports: dict[str, Path] = {}
    decorators: dict[str, Node | None] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = dict(_decorator(one) for one in node.named_children)
        elif node.type == "import_functionality":
            *names, source = node.named_children
            imports |= {text_of(name): path.parent / literal(source) for name in names}
        elif node.type in _KINDS:
            declarations.append(replace(declaration(node), decorators=decorators))
            decorators = {}
    return BicepFile(path, tuple(declarations), imports, faults)


def read_parameters(path: Path, text: str | None = None) -> BicepFile:
    """A .bicepparam file; its values are declared as variables, which is what the grammar knows of them."""
    content = path.read_text() if text is None else text
    content = re.sub(r"(?m)^using .*$", "", content)
    return read(path, re.sub(r"(?m)^param (\w+) =", r"var \1 =", content))


def declaration(node: Node) -> Declaration:
    """A declaration, at the top of a file or in a resource."""
    kind = _KINDS[node.type]
    name, *rest = [child for child in node.named_children if child.type != "comment"]
    typed = target = value = None
    if kind in ("param", "output") and rest:
        typed, *rest = rest
    if kind in ("resource", "module"):
        target, *rest = rest
    if rest:
        value = rest[0]
    existing = any(child.type == "existing" for child in node.children)
    return Declaration(kind, text_of(name), node, typed, value, literal(target) if target else "", existing)


def _decorator(node: Node) -> tuple[str, Node | None]:
    call = node.named_children[0]
    name, arguments = call.named_children
    values = arguments.named_children
    return text_of(name), values[0] if values else None


def properties(node: Node) -> dict[str, Node]:
    """An object literal's properties that have a plain key. Resources in it are left out."""
    pairs = [one for one in node.named_children if one.type == "object_property" and len(one.named_children) > 1]
    return {key_of(pair): pair.named_children[-1] for pair in pairs}


def key_of(pair: Node) -> str:
    """A property's key; an interpolated one as it is written."""
    key = pair.named_children[0]
    return literal(key) if key.type == "string" else text_of(key)


def children(node: Node) -> list[Declaration]:
    """The resources that are declared inside a resource's object."""
    inner = [one.named_children[0] for one in node.named_children if one.type == "object_property"]
    return [declaration(one) for one in inner if one.type == "resource_declaration"]


def body(value: Node) -> Node:
    """The object of a resource or module, out of its loop and condition."""
    while value.type in ("for_statement", "if_statement"):
        value = value.named_children[-1]
    return value


def literal(node: Node) -> str:
    """A string's text, as written between its quotes."""
    quotes = 3 if text_of(node).startswith("'''") else 1
    return text_of(node)[quotes:-quotes].replace("\\'", "'").replace("\\$", "$")


def is_interpolated(node: Node) -> bool:
    """Whether a string has an expression in it."""
    return any(child.type == "interpolation" for child in node.named_children)


def text_of(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode()


def line_of(node: Node) -> int:
    """Line, from 1."""
    return int(node.start_point[0]) + 1


def walk(node: Node) -> list[Node]:
    """The node and all below it."""
    return [node, *(below for child in node.named_children for below in walk(child))]


def _errors(node: Node) -> list[Node]:
    if node.is_error or node.is_missing:
        return [node]
    return [below for child in node.children for below in _errors(child)]

"""Checks a template as the Bicep compiler would: names, modules, resource types, their properties and types."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tree_sitter import Node

from tests.infra.bicep import syntax
from tests.infra.bicep.infer import Scope, infer, looped
from tests.infra.bicep.schema import Schema, schema
from tests.infra.bicep.syntax import BicepFile, Declaration, Fault
from tests.infra.bicep.types import ANY, BOOL, INT, NULL, OPEN, STRING, Array, Field, Object, Scalar, Type, fits, record

_PRIMITIVES: dict[str, Type] = {"string": STRING, "int": INT, "bool": BOOL, "object": OPEN, "array": Array(ANY)}
_OURS = ("parent", "scope", "dependsOn")
"""Members that are Bicep's own and no resource's."""
_EXISTING = Object(
    "existing", lambda: {"name": Field(STRING, required=True), "parent": Field(ANY), "scope": Field(ANY)}
)
_MODULE = Object(
    "module",
    lambda: {
        "name": Field(STRING, required=True),
        "scope": Field(ANY),
        "dependsOn": Field(Array(ANY)),
        "params": Field(ANY),
    },
)


def check(path: Path, texts: dict[Path, str] | None = None) -> list[Fault]:
    """The faults of one file. `texts` stand for files' content; the modules that it calls are read, not checked."""
    return _Checker(path, texts or {}).run()


def declared_resources(file: BicepFile) -> Iterator[tuple[str, str, Declaration]]:
    """Type, API version and declaration of each resource, those inside others as well."""
    for one in file.named("resource").values():
        kind, _, version = one.target.partition("@")
        yield kind, version, one
        if one.value:
            for child in syntax.children(syntax.body(one.value)):
                yield f"{kind}/{child.target}", version, child


def parameters(file: BicepFile, texts: dict[Path, str] | None = None) -> dict[str, Field]:
    """What a module wants; a parameter is required that has no default and may not be null."""
    types = _Types(file, texts)
    found = {}
    for one in file.named("param").values():
        optional = one.value is not None or (one.type is not None and "?" in syntax.text_of(one.type))
        found[one.name] = Field(types.of(one), not optional)
    return found


class _Types:
    """Declared types, with a file's own and imported names."""

    def __init__(self, file: BicepFile, texts: dict[Path, str] | None = None) -> None:
        self._file = file
        self._texts = texts or {}

    def of(self, one: Declaration) -> Type:
        """A parameter's or output's type; `@allowed` narrows it."""
        found = self._named(one.type) if one.type else ANY
        allowed = one.decorators.get("allowed")
        if allowed is not None and found == STRING:
            return Scalar("string", frozenset(syntax.literal(item) for item in allowed.named_children))
        return found

    def _named(self, node: Node) -> Type:
        if node.type in ("type", "nullable_type"):
            return self._named(node.named_children[0])
        if node.type == "array_type":
            return Array(self._named(node.named_children[0]))
        name = syntax.text_of(node)
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        source = self._file
        if name in source.imports:
            path = source.imports[name].resolve()
            source = syntax.read(path, self._texts.get(path))
        declared = source.named("type").get(name)
        if declared is None or declared.value is None:
            return ANY
        members = syntax.properties(declared.value)
        typed = {key: Field(self._named(value), value.type != "nullable_type") for key, value in members.items()}
        return Object(name, lambda: typed)


class _Checker:
    def __init__(self, path: Path, texts: dict[Path, str]) -> None:
        self._texts = {key.resolve(): text for key, text in texts.items()}
        self._file = self._read(path.resolve())
        self._faults: list[Fault] = list(self._file.faults)
        self._types = _Types(self._file, self._texts)
        self._names: dict[str, Type] = {}

    def _read(self, path: Path) -> BicepFile:
        return syntax.read(path, self._texts.get(path))

    def _fault(self, node: Node, text: str) -> None:
        self._faults.append(Fault(self._file.path, syntax.line_of(node), text))

    def run(self) -> list[Fault]:
        if self._faults:
            return self._faults
        scope = Scope(self._names, self._fault)
        self._unique()
        self._declare(scope)
        for kind, _, one in declared_resources(self._file):
            self._resource(kind, one, scope)
        for one in self._file.named("module").values():
            self._module(one, scope)
        for one in (*self._file.named("param").values(), *self._file.named("output").values()):
            if one.value:
                self._assigned(self._types.of(one), one.value, scope, one.name)
        return sorted(set(self._faults), key=lambda fault: fault.line)

    def _unique(self) -> None:
        """A name is declared once; outputs are apart, since nothing in the file refers to them."""
        seen: set[tuple[bool, str]] = set()
        for one in self._file.declarations:
            key = (one.kind == "output", one.name)
            if key in seen:
                self._fault(one.node, f"{one.name} is declared twice")
            seen.add(key)

    def _declare(self, scope: Scope) -> None:
        """The type of every name; variables last, since they are made of the others."""
        self._names |= {name: self._types.of(one) for name, one in self._file.named("param").items()}
        for kind, version, one in declared_resources(self._file):
            self._names[one.name] = self._resource_type(kind, version, one)
        for one in self._file.named("resource").values():
            for child in syntax.children(syntax.body(one.value)) if one.value else ():
                self._names[f"{one.name}::{child.name}"] = self._names[child.name]
        for one in self._file.named("module").values():
            self._names[one.name] = self._module_type(one)
        for one in self._file.named("var").values():
            if one.value:
                self._names[one.name] = infer(one.value, scope)

    def _resource_type(self, kind: str, version: str, one: Declaration) -> Type:
        found = self._schema(kind, version, one.node)
        typed: Type = found.body(self._name_of(one)) if found else ANY
        return Array(typed) if one.value and one.value.type == "for_statement" else typed

    def _schema(self, kind: str, version: str, node: Node) -> Schema | None:
        found = schema(kind)
        if found and version != found.api_version:
            self._fault(node, f"{kind}: API version {version}; its schema is of {found.api_version}")
        return found

    @staticmethod
    def _name_of(one: Declaration) -> str | None:
        name = syntax.properties(syntax.body(one.value)).get("name") if one.value else None
        return syntax.literal(name) if name is not None and name.type == "string" else None

    def _module_type(self, one: Declaration) -> Type:
        path = (self._file.path.parent / one.target).resolve()
        if path not in self._texts and not path.exists():
            self._fault(one.node, f"module {one.target}: there is no such file")
            return ANY
        called = self._read(path)
        types = _Types(called, self._texts)
        outputs = {name: types.of(output) for name, output in called.named("output").items()}
        return record(one.target, name=STRING, outputs=record(f"{one.name}.outputs", **outputs))

    def _resource(self, kind: str, one: Declaration, scope: Scope) -> None:
        node, inner = self._opened(one, scope)
        typed = self._names[one.name]
        typed = typed.item if isinstance(typed, Array) else typed
        given = syntax.properties(node)
        if "parent" in given:
            self._parent(kind, given["parent"])
        if one.existing:
            self._object(_EXISTING, node, inner, one.name)
        elif isinstance(typed, Object):
            for name in _OURS:
                if name in given:
                    infer(given[name], inner)
            self._object(typed, node, inner, one.name, ignored=_OURS)
        else:
            infer(node, inner)

    def _parent(self, kind: str, parent: Node) -> None:
        name = syntax.text_of(parent.named_children[0] if parent.type == "subscript_expression" else parent)
        declared = self._file.named("resource").get(name)
        if declared and declared.target.partition("@")[0] != kind.rpartition("/")[0]:
            self._fault(parent, f"{kind} cannot be a child of {declared.target.partition('@')[0]}")

    def _module(self, one: Declaration, scope: Scope) -> None:
        node, inner = self._opened(one, scope)
        path = (self._file.path.parent / one.target).resolve()
        if path not in self._texts and not path.exists():
            return
        self._object(_MODULE, node, inner, f"module {one.name}")
        wanted = parameters(self._read(path), self._texts)
        given = syntax.properties(node)
        if "params" in given:
            self._object(Object(one.target, lambda: wanted), given["params"], inner, f"module {one.name}")
        elif missing := [name for name, field in wanted.items() if field.required]:
            self._fault(node, f"module {one.name}: {', '.join(missing)} missing")

    def _opened(self, one: Declaration, scope: Scope) -> tuple[Node, Scope]:
        """The object out of its loop and condition, and the scope in it."""
        value = one.value
        assert value is not None
        while value.type in ("for_statement", "if_statement"):
            if value.type == "for_statement":
                scope = looped(value, scope)
            else:
                infer(value.named_children[0], scope)
            value = value.named_children[-1]
        return value, scope

    def _assigned(self, wanted: Type, node: Node, scope: Scope, where: str) -> None:
        """A value against the type of its place; literals are looked into, so that a fault has its line."""
        if node.type == "object" and isinstance(wanted, Object):
            self._object(wanted, node, scope, where)
        elif node.type == "array" and isinstance(wanted, Array):
            for item in node.named_children:
                if item.type != "comment":
                    self._assigned(wanted.item, item, scope, where)
        elif node.type == "for_statement" and isinstance(wanted, Array):
            self._assigned(wanted.item, node.named_children[-1], looped(node, scope), where)
        elif node.type == "ternary_expression":
            condition, *branches = node.named_children
            infer(condition, scope)
            for branch in branches:
                self._assigned(wanted, branch, scope, where)
        else:
            given = infer(node, scope)
            if not fits(wanted, given):
                self._fault(node, f"{where}: {wanted} is wanted, {given} is given")

    def _object(self, wanted: Object, node: Node, scope: Scope, where: str, ignored: Iterable[str] = ()) -> None:
        given = {name: value for name, value in syntax.properties(node).items() if name not in ignored}
        for name, value in given.items():
            member = wanted.member(name)
            if member is None:
                self._fault(value, f"{where}: {wanted} has no property {name}")
            elif member.read_only:
                self._fault(value, f"{where}.{name} is read-only")
            else:
                self._assigned(member.type, value, scope, f"{where}.{name}")
        for pair in node.named_children:
            if pair.type == "object_property" and pair.named_children[0].type == "string":
                infer(pair.named_children[0], scope)
        for name, member in wanted.members().items():
            null = name in given and infer(given[name], scope) == NULL
            if member.required and not member.read_only and (name not in given or null):
                self._fault(node, f"{where}: {name} is missing")

"""What type an expression has. Each name in it that leads nowhere is a fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tree_sitter import Node

from tests.infra.bicep import syntax
from tests.infra.bicep.types import (
    ANY,
    BOOL,
    INT,
    NULL,
    OPEN,
    STRING,
    Array,
    Choice,
    Field,
    Object,
    Scalar,
    Type,
    either,
    record,
)

_DEPLOYMENT = record("resourceGroup", id=STRING, name=STRING, location=STRING, tags=OPEN)
_ENVIRONMENT = record(
    "environment",
    suffixes=record("suffixes", storage=STRING),
    authentication=record("authentication", loginEndpoint=STRING),
)
FUNCTIONS: Mapping[str, Type] = {
    "cidrSubnet": STRING,
    "concat": Array(ANY),
    "empty": BOOL,
    "environment": _ENVIRONMENT,
    "guid": STRING,
    "loadTextContent": STRING,
    "map": Array(ANY),
    "replace": STRING,
    "resourceGroup": _DEPLOYMENT,
    "resourceId": STRING,
    "string": STRING,
    "subscription": record("subscription", id=STRING, subscriptionId=STRING, tenantId=STRING),
    "subscriptionResourceId": STRING,
    "take": ANY,
    "tenant": record("tenant", tenantId=STRING),
    "toLower": STRING,
    "union": OPEN,
    "uniqueString": STRING,
}
"""Of Bicep's own functions those that infra/ uses; one that is not here is a fault until somebody has looked."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean at a place, and where faults go."""

    names: Mapping[str, Type]
    fault: Callable[[Node, str], None]

    def with_names(self, /, **more: Type) -> "Scope":
        """The scope inside a loop or lambda."""
        return replace(self, names={**self.names, **more})


def infer(node: Node, scope: Scope) -> Type:
    """The expression's type."""
    rule = _RULES.get(node.type)
    if rule is None:
        for child in node.named_children:
            infer(child, scope)
        return ANY
    return rule(node, scope)


def looped(node: Node, scope: Scope) -> Scope:
    """The scope inside `[for x in y: …]` or `[for (x, i) in y: …]`."""
    head, items, _ = node.named_children
    found = infer(items, scope)
    item = found.item if isinstance(found, Array) else ANY
    if head.type == "for_loop_parameters":
        one, index = (syntax.text_of(child) for child in head.named_children)
        return scope.with_names(**{one: item, index: INT})
    return scope.with_names(**{syntax.text_of(head): item})


def _identifier(node: Node, scope: Scope) -> Type:
    name = syntax.text_of(node)
    if name not in scope.names:
        scope.fault(node, f"unknown symbol {name}")
        return ANY
    return scope.names[name]


def _string(node: Node, scope: Scope) -> Type:
    if not syntax.is_interpolated(node):
        return Scalar("string", frozenset([syntax.literal(node)]))
    for part in node.named_children:
        if part.type == "interpolation":
            infer(part.named_children[0], scope)
    return STRING


def _object(node: Node, scope: Scope) -> Type:
    members = {name: Field(infer(value, scope)) for name, value in syntax.properties(node).items()}
    for pair in node.named_children:
        if pair.type == "object_property" and pair.named_children[0].type == "string":
            infer(pair.named_children[0], scope)
    return Object("{…}", lambda: members)


def _array(node: Node, scope: Scope) -> Type:
    items = [infer(child, scope) for child in node.named_children if child.type != "comment"]
    if items and all(isinstance(item, Object) for item in items):
        return Array(_merged([item for item in items if isinstance(item, Object)]))
    return Array(either(*items))


def _merged(items: list[Object]) -> Object:
    """The objects of a list as one: a member may be of any of the types that it has in them."""
    members: dict[str, Field] = {}
    for item in items:
        for name, one in item.members().items():
            members[name] = Field(either(members[name].type, one.type) if name in members else one.type)
    return Object("{…}", lambda: members)


def _member(node: Node, scope: Scope) -> Type:
    owner, name = infer(node.named_children[0], scope), syntax.text_of(node.named_children[1])
    found = _member_of(owner, name)
    if found is None:
        scope.fault(node, f"{syntax.text_of(node.named_children[0])} has no member {name}")
    return found or ANY


def _member_of(owner: Type, name: str) -> Type | None:
    if owner == ANY:
        return ANY
    if isinstance(owner, Choice):
        found = [one for option in owner.options if (one := _member_of(option, name))]
        return either(*found) if found else None
    member = owner.member(name) if isinstance(owner, Object) else None
    return member.type if member else None


def _subscript(node: Node, scope: Scope) -> Type:
    owner, index = node.named_children
    infer(index, scope)
    found = infer(owner, scope)
    return found.item if isinstance(found, Array) else ANY


def _nested(node: Node, scope: Scope) -> Type:
    owner, name = (syntax.text_of(child) for child in node.named_children)
    if f"{owner}::{name}" not in scope.names:
        scope.fault(node, f"unknown symbol {owner}::{name}")
    return scope.names.get(f"{owner}::{name}", ANY)


def _call(node: Node, scope: Scope) -> Type:
    name = syntax.text_of(node.named_children[0])
    arguments = [child for child in node.named_children[-1].named_children if child.type != "comment"]
    if name.rpartition(".")[2].lower().startswith("list"):
        scope.fault(node, f"{name}: keys and secrets are never listed")
    elif name not in FUNCTIONS:
        scope.fault(node, f"unknown function {name}")
    given = [infer(one, scope) for one in arguments if one.type != "lambda_expression"]
    for one in arguments:
        if one.type == "lambda_expression":
            *names, inner = one.named_children
            item = given[0].item if given and isinstance(given[0], Array) else ANY
            result = infer(inner, scope.with_names(**{syntax.text_of(each): item for each in names}))
            return Array(result) if name == "map" else ANY
    if name == "concat":
        return Array(either(*(one.item for one in given if isinstance(one, Array) and one.item != ANY)))
    return FUNCTIONS.get(name, ANY)


def _ternary(node: Node, scope: Scope) -> Type:
    condition, yes, no = node.named_children
    infer(condition, scope)
    return either(infer(yes, scope), infer(no, scope))


def _binary(node: Node, scope: Scope) -> Type:
    left, right = (infer(child, scope) for child in node.named_children)
    operator = syntax.text_of(node.children[1])
    if operator == "??":
        return either(left, right)
    return INT if operator in "+-*/%" else BOOL


def _negated(node: Node, scope: Scope) -> Type:
    infer(node.named_children[0], scope)
    return BOOL


def _loop(node: Node, scope: Scope) -> Type:
    return Array(infer(node.named_children[-1], looped(node, scope)))


_RULES: Mapping[str, Callable[[Node, Scope], Type]] = {
    "array": _array,
    "binary_expression": _binary,
    "boolean": lambda _node, _scope: BOOL,
    "call_expression": _call,
    "for_statement": _loop,
    "identifier": _identifier,
    "member_expression": _member,
    "null": lambda _node, _scope: NULL,
    "number": lambda _node, _scope: INT,
    "object": _object,
    "parenthesized_expression": lambda node, scope: infer(node.named_children[0], scope),
    "resource_expression": _nested,
    "string": _string,
    "subscript_expression": _subscript,
    "ternary_expression": _ternary,
    "unary_expression": _negated,
}

"""Types of Bicep expressions and of Azure's resources, and what may be assigned to what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unknown:
    """Not known: it fits everywhere, and has every member."""

    def __str__(self) -> str:
        return "any"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`string`, `int`, `bool` or `null`; `values` are the only ones where there are but some."""

    name: str
    values: frozenset[str] | None = None

    def __str__(self) -> str:
        return self.name if self.values is None else " | ".join(sorted(repr(value) for value in self.values))


@dataclass(frozen=True, slots=True)
class Array:
    """`item[]`."""

    item: "Type"

    def __str__(self) -> str:
        return f"{self.item}[]"


@dataclass(frozen=True, slots=True)
class Field:
    """A member of an object."""

    type: "Type"
    required: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """An object; `members` is called when it is needed, since schemas refer to themselves.

    `extra` is the type of members that are not named, None where there may be none.
    """

    name: str
    members: Callable[[], Mapping[str, Field]] = field(compare=False)
    extra: "Type | None" = None

    def __str__(self) -> str:
        return self.name

    def member(self, name: str) -> Field | None:
        """The named member, or one that need not be named."""
        return self.members().get(name) or (Field(self.extra) if self.extra else None)


@dataclass(frozen=True, slots=True)
class Choice:
    """Either of several."""

    options: tuple["Type", ...]

    def __str__(self) -> str:
        return " | ".join(str(option) for option in self.options)


Type = Unknown | Scalar | Array | Object | Choice
ANY = Unknown()
STRING, INT, BOOL, NULL = (Scalar(name) for name in ("string", "int", "bool", "null"))
OPEN = Object("object", dict, ANY)


def record(name: str, /, **members: Type) -> Object:
    """An object with these members and no others."""
    return Object(name, lambda: {key: Field(one) for key, one in members.items()})


def either(*options: Type) -> Type:
    """One type for several: the same ones once."""
    flat = [one for option in options for one in (option.options if isinstance(option, Choice) else (option,))]
    unique = list(dict.fromkeys(flat))
    if ANY in unique or not unique:
        return ANY
    return unique[0] if len(unique) == 1 else Choice(tuple(unique))


def fits(wanted: Type, given: Type) -> bool:
    """Whether a value of one type may stand where the other is wanted. null stands for 'not given', as ARM takes it."""
    if ANY in (wanted, given) or given == NULL:
        return True
    if isinstance(given, Choice):
        return all(fits(wanted, option) for option in given.options)
    match wanted, given:
        case Choice(), _:
            found = any(fits(option, given) for option in wanted.options)
        case Array(), Array():
            found = fits(wanted.item, given.item)
        case Scalar(), Scalar():
            known = wanted.values is None or given.values is None or given.values <= wanted.values
            found = wanted.name == given.name and known
        case Object(), Object():
            found = _object_fits(wanted, given)
        case _:
            found = False
    return found


def _object_fits(wanted: Object, given: Object) -> bool:
    if given.extra is not None or wanted.name == given.name:
        return True
    members = given.members()
    known = all((field := wanted.member(name)) and fits(field.type, one.type) for name, one in members.items())
    return known and all(name in members for name, one in wanted.members().items() if one.required)

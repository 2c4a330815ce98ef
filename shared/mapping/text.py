"""Texts and numbers (PS3.5 6.2), except dates and names. pydicom's tables decide lengths and characters.

No error here contains the value.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

from shared.mapping.data_dictionary import MAX_LENGTHS, PATTERNS

PADDING = " \0"
"""Values are padded to an even length with a blank, UIDs with NUL (PS3.5 6.2); archives mix the two."""

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # FHIR string: nothing below 32 but tab, CR, LF
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # JSON can say it (`"\\ud800"`), and no UTF-8 can
_REGEX = {vr: re.compile(pattern) for vr, pattern in PATTERNS.items()}
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*+))++")
_TAG = re.compile("[0-9A-Fa-f]{8}")
_WHOLE = re.compile("-?[0-9]{1,20}")
_IS_RANGE = range(-(2**31), 2**31)
_MOST_RULES = 5
"""Rules that are named for the items of one list; the rest is counted."""
_DECIMAL_LIMIT = 10**18  # FHIR: decimals of 18 digits are safe everywhere; and no NaN, no infinity
_DIGITS = Context(prec=18)
_WHOLE_LIMIT = 2.0**64


class InvalidValueError(ValueError):
    """A value breaks a rule. The message is the rule, never the value. `of_tag`: the index of the row's tag."""

    def __init__(self, rule: str, *, of_tag: int = 0) -> None:
        super().__init__(rule)
        self.of_tag = of_tag


class InvalidItemsError(InvalidValueError):
    """Items of a list break rules. `rest`: what the other items say."""

    def __init__(self, rules: Sequence[str], rest: Any, *, of_tag: int = 0) -> None:
        more = [f"and {len(rules) - _MOST_RULES} more"] if len(rules) > _MOST_RULES else []
        super().__init__("; ".join([*rules[:_MOST_RULES], *more]), of_tag=of_tag)
        self.rules = rules
        self.rest = rest


def each(items: Iterable[Any], read: Callable[[Any], Any]) -> list[Any]:
    """What is read of each item. Raises InvalidItemsError after all are read, if some are invalid."""
    rest: list[Any] = []
    rules: dict[str, None] = {}
    for item in items:
        try:
            rest.append(read(item))
        except InvalidItemsError as error:
            rest.append(error.rest)
            rules |= dict.fromkeys(error.rules)
        except InvalidValueError as error:
            rules[str(error)] = None
    if rules:
        raise InvalidItemsError(tuple(rules), rest)
    return rest


def each_once(items: Iterable[Any]) -> list[Any]:
    """The items without those that equal an earlier one; they may be objects, and few of them differ."""
    found: list[Any] = []
    for item in items:
        if item not in found:
            found.append(item)
    return found


def text(item: Any, vr: str) -> str:
    """The item without its padding, checked against the VR's length and FHIR's characters."""
    if not isinstance(item, str):
        raise InvalidValueError("a string is expected")
    stripped = item.strip(PADDING)
    if (limit := MAX_LENGTHS.get(vr)) and len(stripped) > limit:
        raise InvalidValueError(f"longer than {limit} characters")
    if not stripped.isprintable():  # quick: printable texts have neither of these
        if _FORBIDDEN.search(stripped):
            raise InvalidValueError("control characters are not allowed")
        if _HALF_A_PAIR.search(stripped):
            raise InvalidValueError("not Unicode text: half of a surrogate pair")
    return stripped


def _matched(item: Any, vr: str, rule: str) -> str:
    value = text(item, vr)
    if not _REGEX[vr].fullmatch(value):
        raise InvalidValueError(rule)
    return value


def code_string(item: Any) -> str:
    """PS3.5 6.2, VR CS: upper case letters, digits, blank, underscore; at most 16."""
    return _matched(item, "CS", "only A-Z, 0-9, blank and underscore are allowed")


def uid(item: Any) -> str:
    """PS3.5 9.1: at most 64 of digits and dots, no component with a leading zero. FHIR's `oid` wants a dot too."""
    if isinstance(item, str) and len(item) <= MAX_LENGTHS["UI"] and _UID.fullmatch(item):
        return item  # nearly all; the rest is padded, or breaks a rule that is named below
    value = _matched(item, "UI", "only components of digits without leading zeros, joined by dots, are allowed")
    if value[:2] not in ("0.", "1.", "2."):
        raise InvalidValueError("a UID starts with 0, 1 or 2 and has more than one component")
    return value


def age_string(item: Any) -> str:
    """PS3.5 6.2, VR AS: three digits, and whether they are days, weeks, months or years."""
    return _matched(item, "AS", "three digits and one of D, W, M, Y are expected")


def tag(item: Any) -> str:
    """PS3.5 6.2, VR AT: a tag, as DICOM JSON has it (PS3.18 F.2.2): eight hexadecimal digits."""
    if not isinstance(item, str) or not _TAG.fullmatch(item):
        raise InvalidValueError("a tag of eight hexadecimal digits is expected")
    return item.upper()


def whole_number(item: Any, within: range) -> int:
    """PS3.5 6.2, VR SS, US and the like: a JSON number (PS3.18 F.2.3.1), or a string of digits."""
    if (isinstance(item, str) and _WHOLE.fullmatch(item)) or _is_whole(item):
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int) or item not in within:
        raise InvalidValueError(f"a whole number of {within.start} to {within.stop - 1} is expected")
    return item


def integer_string(item: Any) -> int:
    """PS3.5 6.2, VR IS: a whole number of 32 bits; DICOM JSON allows number or string (PS3.18 F.2.3.1)."""
    if isinstance(item, bool) or not isinstance(item, int | str):
        if _is_whole(item) and int(item) in _IS_RANGE:
            return int(item)
        raise InvalidValueError("a whole number is expected")
    if isinstance(item, str):
        item = int(_matched(item, "IS", "a whole number is expected"))
    if item not in _IS_RANGE:
        raise InvalidValueError("outside the 32 bits of an integer string")
    return int(item)


def _is_whole(item: Any) -> bool:
    """Whether it is a whole number that is written with a point or an exponent, such as `3.0`, below 2^64."""
    return isinstance(item, float | Decimal) and abs(float(item)) < _WHOLE_LIMIT and item == int(item)


def decimal_string(item: Any) -> int | Decimal:
    """PS3.5 6.2, VR DS: a decimal number; DICOM JSON allows number or string (PS3.18 F.2.3.1).

    Its digits are kept, also zeros at the end, as they show the precision (R4 datatypes, decimal). More than 16
    characters are accepted, since devices write them, and rounded to 18 digits, which every FHIR server keeps.
    """
    if isinstance(item, str):
        written = item.strip(PADDING)
        if not _REGEX["DS"].fullmatch(written):
            raise InvalidValueError("a decimal number is expected")
        item = Decimal(written)
        if not set(written) & set(".eE") and abs(item) < _DECIMAL_LIMIT:
            item = int(item)
    if isinstance(item, float):
        item = Decimal(repr(item))
    if isinstance(item, bool) or not isinstance(item, int | Decimal):
        raise InvalidValueError("a decimal number is expected")
    if not -_DECIMAL_LIMIT < float(item) < _DECIMAL_LIMIT:
        raise InvalidValueError("a number of at most 18 digits is expected")
    return _rounded(item) if isinstance(item, Decimal) else item


def _rounded(number: Decimal) -> Decimal:
    return _DIGITS.plus(number) if len(number.as_tuple().digits) > _DIGITS.prec else number

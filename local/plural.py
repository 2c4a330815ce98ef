"""A number with what it counts."""


def number(count: int, one: str, many: str | None = None) -> str:
    """`1 study`, `1,350 studies`; `many` where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"

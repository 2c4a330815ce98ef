"""A number with what it counts."""


def number(count: int, one: str, many: str | None = None) -> str:
    """The number and its noun, as in `1 study` or `1,350 studies`. `many`: the plural, if it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"

"""Python's garbage collector in a process that starts cold and lives for days."""

import gc

THRESHOLD = 50_000
"""Objects that are made between two looks for cycles; Python's own is 700 to 2,000."""


def collect_seldom() -> None:
    """To be called before the imports: of the 80,000 objects that they make, all but a thousand stay."""
    gc.set_threshold(THRESHOLD)


def settle() -> None:
    """Spares the garbage collector what stays for good: the libraries' own objects, and those of the app.

    A page of the feed is tens of thousands of objects that no cycle holds; each look at them walked all else too.
    What is garbage already stays as well: at a start that is less than the search for it costs.
    """
    gc.freeze()
    collect_seldom()

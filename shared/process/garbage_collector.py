"""Python's garbage collector in a process that starts cold and lives for days."""

import gc

THRESHOLD = 50_000
"""New objects between two collections; Python's default is 700 to 2,000."""
STARTING = 500_000
"""The same while the app is imported and built: nearly all of the 80,000 objects that this makes stay."""


def collect_seldom() -> None:
    """Raises the threshold until `freeze_startup_objects` is called. Call it before the imports."""
    gc.set_threshold(STARTING)


def freeze_startup_objects() -> None:
    """Exempts all objects that exist now from collection, for good: those of the libraries and of the app.

    A page of the feed makes tens of thousands of objects, none of them in a cycle, and each collection on the way would
    walk through the libraries' objects too. Garbage that exists now stays too, which costs less than a search for it.
    """
    gc.freeze()
    gc.set_threshold(THRESHOLD)

"""The SQLite database: one connection, one lock, short transactions."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = sorted((Path(__file__).parent / "schema").glob("*.sql"), key=lambda script: int(script.stem))
"""A script for each schema version, in order. A new database runs all, an older one those that it lacks."""


class Database:
    """The database at `path`; in memory if that is None. Any thread may use it; only one has access at a time.

    What a transaction wrote to a file survives if the process is killed. Raises FileNotFoundError, ValueError.
    """

    def __init__(self, path: str | None) -> None:
        try:
            self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise FileNotFoundError(f"cannot open the database {path}: {error}; does its folder exist?") from error
        self._connection.row_factory = sqlite3.Row
        self._lock = threading.RLock()
        # NORMAL syncs the log only at checkpoints: a killed process loses nothing, a power cut the last transactions.
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        self._bring_up_to_date(path)

    def _bring_up_to_date(self, path: str | None) -> None:
        """Runs the scripts that the database lacks. Raises ValueError if a later version of the service wrote it."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(SCHEMA):
            raise ValueError(
                f"{path} has schema version {version}, not {len(SCHEMA)} or less; delete it or name another file"
            )
        for script in SCHEMA[version:]:
            self._connection.executescript(f"BEGIN;\n{script.read_text(encoding='utf-8')}\nCOMMIT;")

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keeps other threads out until the block ends, so that what was read is still true for the write after it."""
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: it is rolled back if the block raises an error."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def take_sequences(self, count: int) -> range:
        """Takes `count` sequence numbers, which nothing gives back: a write that fails later leaves a hole."""
        with self.transaction() as connection:
            connection.execute("UPDATE counter SET last_sequence = last_sequence + ?", (count,))
            (last,) = connection.execute("SELECT last_sequence FROM counter").fetchone()
        return range(last - count + 1, last + 1)

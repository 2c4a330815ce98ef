"""Differences that the audit has found: a table of the app's own, with a row for each study.

No column holds a patient's value: there are UIDs, names of elements and resources, and times.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode

from shared.clients.azure.storage_faults import storage_faults
from shared.clients.azure.tables import Table, Tables
from shared.model.audit import Difference, DifferenceQuery, Kind
from shared.model.failures import digest
from shared.model.instance import StudyKey

TABLE = "AuditDifferenceTable"
PARTITION_KEY = "Study"
MAX_COUNT = 1_000
"""Open rows are counted up to this number."""
MAX_DELETED = 1_000
"""Old rows that are deleted at a time."""

logger = logging.getLogger(__name__)


class DifferenceTable:
    """The differences. A row's key is made of data partition and StudyInstanceUID. All methods raise OutageError."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, study: StudyKey) -> Difference | None:
        """The difference of a study; None if there is no row, or it cannot be read."""
        with storage_faults():
            try:
                return _read(self._table.get_entity(PARTITION_KEY, digest(*study)))
            except ResourceNotFoundError:
                return None

    def write(self, difference: Difference) -> None:
        """Writes the row of a difference, in place of the one that is there."""
        with storage_faults():
            self._table.submit_transaction([("upsert", _row(difference), {"mode": UpdateMode.REPLACE})])

    def open(
        self, size: int, after: str = "", seen_before: datetime | None = None, kind: Kind | None = None
    ) -> list[tuple[str, Difference]]:
        """At most `size` open differences with their keys, in the order of keys, behind the key `after`.

        `seen_before`: only those that no round has seen since then. `kind`: only those of this kind.
        """
        return self._rows(DifferenceQuery(kind=kind, size=size, after=after), seen_before)

    def page(self, query: DifferenceQuery) -> list[tuple[str, Difference]]:
        """The differences that match the query with their keys, in the order of keys."""
        return self._rows(query, None)

    def _rows(self, query: DifferenceQuery, seen_before: datetime | None) -> list[tuple[str, Difference]]:
        conditions: dict[str, tuple[str, Any]] = {"RowKey gt @after": ("after", query.after)}
        if query.only_open:
            conditions["IsOpen eq @open"] = ("open", True)
        if seen_before:
            conditions["LastSeen lt @before"] = ("before", seen_before)
        if query.kind:
            conditions["Kind eq @kind"] = ("kind", query.kind.value)
        odata = " and ".join([f"PartitionKey eq '{PARTITION_KEY}'", *conditions])
        with storage_faults():
            rows = self._table.query_entities(odata, parameters=dict(conditions.values()))
            return list(islice(((row["RowKey"], read) for row in rows if (read := _read(row))), query.size))

    def counts(self) -> Mapping[Kind, int]:
        """The number of open rows of each kind. If there are more than 1,000, only the first 1,000 are counted."""
        query = f"PartitionKey eq '{PARTITION_KEY}' and IsOpen eq true"
        with storage_faults():
            rows = islice(self._table.query_entities(query, select=["Kind"]), MAX_COUNT)
            found = Counter(str(row.get("Kind")) for row in rows)
        return {kind: found[kind.value] for kind in Kind}

    def let_go(self, resolved_before: datetime) -> None:
        """Deletes rows that were resolved before then, at most 1,000 at a time."""
        query = f"PartitionKey eq '{PARTITION_KEY}' and IsOpen eq false and ResolvedAt lt @before"
        with storage_faults():
            old = self._table.query_entities(query, parameters={"before": resolved_before})
            for row in list(islice(old, MAX_DELETED)):
                self._table.delete_entity(row)

    @property
    def _table(self) -> Table:
        return self._tables[TABLE]


def _row(one: Difference) -> dict[str, Any]:
    times = {"AbsentSince": one.absent_since, "ResolvedAt": one.resolved_at}
    return {
        "PartitionKey": PARTITION_KEY,
        "RowKey": digest(*one.study),
        "Partition": one.partition,
        "StudyUid": one.study_instance_uid,
        "Kind": one.kind.value,
        "Says": one.says,
        "FirstSeen": one.first_seen,
        "LastSeen": one.last_seen,
        "Rounds": one.rounds,
        "IsOpen": one.resolved_at is None,
        "IsHealed": one.is_healed,
        "Failure": one.failure,
        **{name: time for name, time in times.items() if time},
    }


def _read(row: TableEntity) -> Difference | None:
    """The difference in a row; None, and a warning, if the row cannot be read."""
    try:
        return Difference(
            study_instance_uid=str(row["StudyUid"]),
            partition=str(row["Partition"]),
            kind=Kind(row["Kind"]),
            says=str(row["Says"]),
            first_seen=_time(row["FirstSeen"]),
            last_seen=_time(row["LastSeen"]),
            rounds=int(row["Rounds"]),
            absent_since=_time(row["AbsentSince"]) if row.get("AbsentSince") else None,
            resolved_at=_time(row["ResolvedAt"]) if row.get("ResolvedAt") else None,
            is_healed=bool(row["IsHealed"]),
            failure=str(row["Failure"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        logger.warning("the row %s of %s cannot be read, and is passed over", row.get("RowKey"), TABLE)
        return None


def _time(value: Any) -> datetime:
    """A time out of a row as a plain datetime, in place of the SDK's subclass."""
    return datetime.fromtimestamp(value.timestamp(), UTC)

"""Changes what is stored. Each call is one transaction, and writes a change feed entry for each instance."""

import json
import sqlite3
from dataclasses import dataclass

from local.dicom_service import timestamps
from local.dicom_service.change_dataset import UIDS
from local.dicom_service.database import Database
from local.dicom_service.instance import Instance, metadata_text, only_string
from local.dicom_service.metadata import Attribute

DEFAULT_PARTITION = "Microsoft.Default"

_KEY = ("partition_name", "study_instance_uid", "series_instance_uid", "sop_instance_uid")
_IS_KEY, _TO_KEY = (joint.join(f"{column} = ?" for column in _KEY) for joint in (" AND ", ", "))

BY_ARRIVAL = "ORDER BY coalesce(original_version, version)"
"""SQL: the order of arrival, which an update does not change."""


class RefusedUpdateError(Exception):
    """The instances cannot get the new UIDs; the message says why."""


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """The UIDs of a study, of one of its series or of one of the series' instances, and the partition."""

    study: str
    series: str | None = None
    instance: str | None = None
    partition: str = DEFAULT_PARTITION

    def condition(self) -> tuple[str, tuple[str, ...]]:
        """The SQL condition for the instances under the path, and its parameters."""
        columns = {
            "partition_name": self.partition,
            "study_instance_uid": self.study,
            "series_instance_uid": self.series,
            "sop_instance_uid": self.instance,
        }
        given = {column: value for column, value in columns.items() if value is not None}
        return " AND ".join(f"{column} = ?" for column in given), tuple(given.values())


def add(database: Database, partition: str, instances: list[Instance]) -> list[bool]:
    """Stores the instances that do not exist yet. Returns for each whether it was stored."""
    with database.exclusive():
        seen: set[ResourcePath] = set()
        stored = [_is_new(database, partition, instance, seen) for instance in instances]
        new = [instance for instance, is_new in zip(instances, stored, strict=True) if is_new]
        sequences = database.take_sequences(len(new))
        with database.transaction() as connection:
            for sequence, instance in zip(sequences, new, strict=True):
                _insert(connection, sequence, timestamps.now(), partition, instance)
    return stored


def update(database: Database, path: ResourcePath, changes: dict[str, Attribute]) -> int:
    """Changes attributes, by tag, of all instances under the path. Returns how many there are.

    Each gets a new version; the one that STOW-RS stored is kept too, those between are not. If UIDs change, the entries
    in the change feed have the new ones. Raises RefusedUpdateError.
    """
    condition, parameters = path.condition()
    with database.exclusive():
        old = database.rows(f"SELECT * FROM instance WHERE {condition} {BY_ARRIVAL}", parameters)  # noqa: S608 columns
        keys = _new_keys(database, old, changes)
        sequences = database.take_sequences(len(old))
        updated_at = timestamps.now()  # the same for all, as with a delete
        with database.transaction() as connection:
            for sequence, row, key in zip(sequences, old, keys, strict=True):
                _replace(connection, sequence, row, key, changes)
                _insert_change(connection, sequence, updated_at, "update", sequence, key)
    return len(old)


def _new_keys(database: Database, old: list[sqlite3.Row], changes: dict[str, Attribute]) -> list[tuple[str, ...]]:
    """The instances' key columns after the update. Raises RefusedUpdateError if they cannot have these."""
    uids = {column: str(changes[tag]["Value"][0]) for tag, column in UIDS.items() if tag in changes}
    if not uids:
        return [tuple(row)[:4] for row in old]
    series = {row["series_instance_uid"] for row in old}
    if "series_instance_uid" in uids and len(series) > 1:
        raise RefusedUpdateError(f"one SeriesInstanceUID for {len(series)} series; name one by seriesInstanceUid")
    keys = [tuple(uids.get(column, row[column]) for column in _KEY) for row in old]
    if any(database.rows(f"SELECT 1 FROM instance WHERE {_IS_KEY}", key) for key in keys):  # noqa: S608 columns
        raise RefusedUpdateError("the new UIDs exist already")
    return keys


def delete(database: Database, path: ResourcePath) -> int:
    """Deletes all instances under the path. Returns how many there were."""
    condition, parameters = path.condition()
    with database.exclusive():
        gone = database.rows(f"SELECT * FROM instance WHERE {condition} {BY_ARRIVAL}", parameters)  # noqa: S608 columns
        sequences = database.take_sequences(len(gone))
        deleted_at = timestamps.now()  # the same for all, as in Azure's service: timestamps are not unique
        with database.transaction() as connection:
            connection.execute(f"DELETE FROM instance WHERE {condition}", parameters)  # noqa: S608 columns
            for sequence, row in zip(sequences, gone, strict=True):
                _insert_change(connection, sequence, deleted_at, "delete", row["version"], tuple(row)[:4])
    return len(gone)


def leave_hole(database: Database, count: int) -> int:
    """Leaves `count` sequence numbers unused for good, as rolled-back writes do. Returns the last of them."""
    return database.take_sequences(count).stop - 1


def reserve(database: Database) -> int:
    """Reserves a sequence number, with the current time, for `add_reserved`. Returns the number."""
    (sequence,) = database.take_sequences(1)
    with database.transaction() as connection:
        connection.execute("INSERT INTO reservation VALUES (?, ?)", (sequence, timestamps.now()))
    return sequence


def add_reserved(database: Database, sequence: int, instance: Instance) -> bool:
    """Stores one instance with a reserved sequence number and its time. Returns False if the instance exists already.

    Raises LookupError if the number is not reserved.
    """
    with database.exclusive():
        reservation = database.rows("SELECT reserved_at FROM reservation WHERE sequence = ?", (sequence,))
        if not reservation:
            raise LookupError(f"sequence number {sequence} is not reserved")
        if not _is_new(database, DEFAULT_PARTITION, instance, set()):
            return False
        with database.transaction() as connection:
            connection.execute("DELETE FROM reservation WHERE sequence = ?", (sequence,))
            _insert(connection, sequence, reservation[0]["reserved_at"], DEFAULT_PARTITION, instance)
    return True


def _is_new(database: Database, partition: str, instance: Instance, seen: set[ResourcePath]) -> bool:
    """Whether the instance is neither stored nor in `seen`, the instances of this request; it is added to that."""
    path = ResourcePath(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid, partition)
    condition, parameters = path.condition()
    if path in seen or database.rows(f"SELECT 1 FROM instance WHERE {condition}", parameters):  # noqa: S608 columns
        return False
    seen.add(path)
    return True


def _insert(connection: sqlite3.Connection, sequence: int, timestamp: int, partition: str, instance: Instance) -> None:
    key = (partition, instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
    connection.execute(
        "INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        (*key, sequence, instance.patient_id, instance.modality, instance.metadata),
    )
    _forget_moved(connection, key)
    _insert_change(connection, sequence, timestamp, "create", sequence, key)


def _replace(
    connection: sqlite3.Connection, version: int, old: sqlite3.Row, key: tuple[str, ...], changes: dict[str, Attribute]
) -> None:
    """Writes a new version of the instance, with new key columns; if these change, the old ones are kept in `moved`."""
    if key != tuple(old)[:4]:
        moved = (*tuple(old)[:4], old["version"], old["metadata"])
        connection.execute("INSERT INTO moved VALUES (?, ?, ?, ?, ?, ?)", moved)
        _forget_moved(connection, key)
    attributes = dict(sorted((json.loads(old["metadata"]) | changes).items()))
    connection.execute(
        f"""UPDATE instance SET original_version = coalesce(original_version, version),
                                original_metadata = coalesce(original_metadata, metadata),
                                version = ?, patient_id = ?, metadata = ?, {_TO_KEY}
            WHERE {_IS_KEY}""",  # noqa: S608 columns
        (version, only_string(attributes, "00100020"), metadata_text(attributes), *key, *tuple(old)[:4]),
    )


def _forget_moved(connection: sqlite3.Connection, key: tuple[str, ...]) -> None:
    """Removes what is kept of an instance that had these UIDs, since another one has them now.

    The entries of the change feed with these UIDs have the metadata of the new instance from now on.
    """
    connection.execute(f"DELETE FROM moved WHERE {_IS_KEY}", key)  # noqa: S608 columns


def _insert_change(
    connection: sqlite3.Connection, sequence: int, timestamp: int, action: str, version: int, key: tuple[str, ...]
) -> None:
    """Writes a change feed entry. `key`: partition, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID."""
    connection.execute(
        "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (sequence, timestamp, action, *key, version)
    )

"""DICOM Cast's five error tables. A row's key is made of the failure, so that the same failure is one row."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from azure.data.tables import EdmType, EntityProperty, UpdateMode

from shared.clients.tables import Tables, storage_faults
from shared.model import FailedEntry

MAX_TEXT = 32_000  # characters; a string property holds 32 Ki
MAX_ROWS = 100  # in one entity group transaction


class ErrorTables:
    """PartitionKey: the exception's class, as in the original. RowKey: the sequence, and the tag where one is named."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, failures: Sequence[FailedEntry]) -> None:
        """One row per failure, in as few calls as the tables allow."""
        keyed = sorted(failures, key=lambda failure: (failure.table, failure.exception))
        with storage_faults():
            for (table, _), group in groupby(keyed, key=lambda failure: (failure.table, failure.exception)):
                rows = list({row["RowKey"]: row for row in map(_row, group)}.values())
                for start in range(0, len(rows), MAX_ROWS):
                    upserts = [("upsert", row, {"mode": UpdateMode.MERGE}) for row in rows[start : start + MAX_ROWS]]
                    self._tables[table].submit_transaction(upserts)


def _row(failure: FailedEntry) -> dict[str, Any]:
    key = f"{failure.sequence:020d}"
    if not failure.is_final:
        # "(0010,0030) PatientBirthDate (DA): ...": several tags of one entry are several rows.
        key += f"-{failure.message.split(' ', 1)[0].strip('()')}"
    return {
        "PartitionKey": failure.exception,
        "RowKey": key,
        "StudyUid": failure.study_instance_uid,
        "SeriesUid": failure.series_instance_uid,
        "InstanceUid": failure.sop_instance_uid,
        "ChangeFeedSequence": EntityProperty(failure.sequence, EdmType.INT64),
        "Exception": failure.message[:MAX_TEXT],
    }

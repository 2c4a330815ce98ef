"""Reads the app's error tables."""

from dataclasses import dataclass

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

NOT_SYNCED = ("DicomFailToStoreExceptionTable", "FhirFailToStoreExceptionTable", "TransientFailureExceptionTable")
TABLES = (*NOT_SYNCED, "InvalidDicomTagExceptionTable", "TransientRetryExceptionTable")


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """One row of an error table. `sequence`: of the entry in the change feed; `reason`: the column `Exception`."""

    table: str
    sequence: int
    sop_instance_uid: str
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the app has given the entry up. If not, it is in FHIR without an invalid tag, or is tried again."""
        return self.table in NOT_SYNCED


def recorded_failures(connection: str, prefix: str = "") -> list[RecordedFailure]:
    """All rows of the five error tables; a table that does not exist yet has none.

    `connection`: of the storage account. `prefix`: TableStore__TableNamePrefix. Raises AzureError.
    """
    failures = []
    with TableServiceClient.from_connection_string(connection) as service:
        for table in TABLES:
            try:
                rows = list(service.get_table_client(prefix + table).list_entities())
            except ResourceNotFoundError:
                continue
            for row in rows:
                sequence = int(row["RowKey"].partition("-")[0])
                failures.append(RecordedFailure(table, sequence, row["InstanceUid"], row["Exception"]))
    return failures

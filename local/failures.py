"""What the app recorded as failed, read from its error tables."""

from dataclasses import dataclass

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

NOT_SYNCED = ("DicomFailToStoreExceptionTable", "FhirFailToStoreExceptionTable", "TransientFailureExceptionTable")
TABLES = (*NOT_SYNCED, "InvalidDicomTagExceptionTable", "TransientRetryExceptionTable")


@dataclass(frozen=True, slots=True)
class RecordedFailure:
    """One row of an error table."""

    table: str
    sequence: int
    sop_instance_uid: str
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the entry is not in FHIR; else a tag of it was left out, or it is still being tried."""
        return self.table in NOT_SYNCED


def recorded_failures(connection: str, prefix: str = "") -> list[RecordedFailure]:
    """All rows of the five tables; a table that is not there yet has none."""
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

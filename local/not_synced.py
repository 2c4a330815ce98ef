"""How far the app is behind the change feed, by its watermark and the feed's end."""

import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

TABLE, PARTITION_KEY, ROW_KEY = "SyncStateTable", "SyncStatePartitionKey", "SyncStateRowKey"


def not_synced(dicom_url: str, connection: str, prefix: str = "") -> int:
    """How many sequence numbers the feed's end is after the watermark.

    Some of these entries may be in FHIR already, if an earlier one keeps the watermark back until its study has
    settled. `connection`: of the storage account. `prefix`: TableStore__TableNamePrefix. Raises RequestException,
    AzureError.
    """
    answer = requests.get(f"{dicom_url}/v1/changefeed/latest", params={"includeMetadata": "false"}, timeout=60)
    answer.raise_for_status()
    latest = answer.json()["Sequence"] if answer.status_code == requests.codes.ok else 0  # 204: there is no entry
    with TableServiceClient.from_connection_string(connection) as service:
        try:
            row = service.get_table_client(prefix + TABLE).get_entity(PARTITION_KEY, ROW_KEY)
        except ResourceNotFoundError:
            return int(latest)
    synced = row["SyncedSequence"]  # an Int64 comes with its type
    return max(0, int(latest) - int(getattr(synced, "value", synced)))

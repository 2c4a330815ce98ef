"""Azure Table storage: tables that are made when first needed, and made again if someone has deleted them."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

import requests
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableEntity,
    TableErrorCode,
    TableServiceClient,
    UpdateMode,
)
from tenacity import retry, retry_if_exception, stop_after_attempt

Found = TypeVar("Found")
UNCHANGED: dict[str, Any] = {"mode": UpdateMode.REPLACE, "match_condition": MatchConditions.IfNotModified}
"""Options of an update that is refused if the row was written meanwhile; the option `etag` has to be added."""
AFTER = "( PartitionKey gt @partition or ( PartitionKey eq @partition and RowKey gt @row ) )"
"""The condition for rows behind one; the SDK needs the blanks to find the parameters."""
MAX_ATTEMPTS = 100
"""An attempt fails only if another client's write has just succeeded."""


class Table:
    """One table. If a method finds that there is none, it makes an empty one. Use it inside `storage_faults`."""

    def __init__(self, client: TableClient) -> None:
        self._client = client

    def get_entity(self, partition_key: str, row_key: str) -> TableEntity:
        """One row. Raises ResourceNotFoundError."""
        return self._with_table(lambda: self._client.get_entity(partition_key, row_key))

    def create_entity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a new row. Raises ResourceExistsError."""
        return self._with_table(lambda: self._client.create_entity(row))

    def update_entity(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Changes a row. Raises ResourceModifiedError, and ResourceNotFoundError if the row does not exist."""
        return self._with_table(lambda: self._client.update_entity(row, **options))

    def upsert_entity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a row, whether it exists or not."""
        return self._with_table(lambda: self._client.upsert_entity(row))

    def delete_entity(self, row: Mapping[str, Any]) -> None:
        """Deletes a row. It is no error if the row does not exist."""
        self._with_table(lambda: self._client.delete_entity(row["PartitionKey"], row["RowKey"]))

    def submit_transaction(self, operations: Sequence[Any]) -> None:
        """Does all operations or none of them. Raises TableTransactionError."""
        self._with_table(lambda: self._client.submit_transaction(operations))

    def query_entities(self, query: str, **options: Any) -> Iterator[TableEntity]:
        """The rows, read page by page as they are consumed; none if the table was deleted."""
        try:
            yield from self._client.query_entities(query, **options)
        except HttpResponseError as error:
            if not _is_table_gone(error):
                raise
            self._make()

    def one_if_there(self, verb: str, row: Mapping[str, Any], **options: Any) -> None:
        """Does `verb`, "update" or "delete", to one row; nothing if the row does not exist."""
        if verb == "delete":
            self.delete_entity(row)
            return
        with suppress(ResourceNotFoundError):
            self.update_entity(row, **options)

    def _with_table(self, request: Callable[[], Found]) -> Found:
        """Sends the request, and once more if the table had to be made first."""
        try:
            return request()
        except HttpResponseError as error:
            if not _is_table_gone(error):
                raise
            self._make()
        return request()

    def _make(self) -> None:
        with suppress(ResourceExistsError):  # another host has made it
            self._client.create_table()


class Tables:
    """The tables of one deployment. `prefix` is DICOM Cast's TableStore__TableNamePrefix.

    All clients are made at once, before threads share them: whenever azure-core makes one, it links the policies anew
    that all clients of a service share, and requests that are under way in other threads fail.
    """

    def __init__(self, service: TableServiceClient, prefix: str, names: Iterable[str]) -> None:
        self._tables = {name: Table(service.get_table_client(prefix + name)) for name in names}

    def __getitem__(self, name: str) -> Table:
        """The table; no request is made. Use it inside `storage_faults`."""
        return self._tables[name]


def _is_table_gone(error: HttpResponseError) -> bool:
    """Whether the table is missing, not the row. The SDK sets the service's own error code, except for an insert."""
    if (code := getattr(error, "error_code", None)) is not None:
        return bool(code == TableErrorCode.TABLE_NOT_FOUND)
    return error.status_code == requests.codes.not_found and TableErrorCode.TABLE_NOT_FOUND.value in str(error)


def _another_came_first(error: BaseException) -> bool:
    """Whether a write was refused because another client wrote first: any other refusal would only be repeated."""
    refusals = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
    return isinstance(error, HttpResponseError) and error.status_code in refusals


unless_another_came_first = retry(
    retry=retry_if_exception(_another_came_first), stop=stop_after_attempt(MAX_ATTEMPTS), reraise=True
)
"""Decorates a function that reads a row and writes it: it is called again if another client wrote the row meanwhile."""


def newest_first(now: datetime) -> str:
    """A new id that sorts before all older ones: it begins with the milliseconds that are left until the year 2527."""
    return f"{16**11 - int(now.timestamp() * 1000):011x}-{secrets.token_hex(4)}"


def int64(value: int) -> EntityProperty:
    """A number of 64 bits, as the original wrote it; a plain int would be stored as 32 bits."""
    return EntityProperty(value, EdmType.INT64)


def number(value: Any) -> int:
    """A number out of a row: one of 64 bits comes as EntityProperty, one of 32 bits as int."""
    return int(value.value if isinstance(value, EntityProperty) else value)

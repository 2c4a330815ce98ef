"""Azure Table storage: tables that are made when first needed, and again when somebody has deleted them."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableEntity,
    TableErrorCode,
    TableServiceClient,
    UpdateMode,
)
from pydantic import TypeAdapter
from tenacity import retry, retry_if_exception, stop_after_attempt
from urllib3.connection import HTTPConnection, HTTPSConnection

from shared.errors import OutageError

Found = TypeVar("Found")
UNCHANGED: dict[str, Any] = {"mode": UpdateMode.REPLACE, "match_condition": MatchConditions.IfNotModified}
"""Of an update that is to be refused once somebody else has written the row; its ETag stands beside."""
MAX_ATTEMPTS = 100
"""Each that fails has seen another one succeed at that very moment."""

logger = logging.getLogger(__name__)


class Table:
    """One table, made by what first finds that it is not there, and finds it empty; use it inside `storage_faults`."""

    def __init__(self, client: TableClient) -> None:
        self._client = client

    def get_entity(self, partition_key: str, row_key: str) -> TableEntity:
        """One row. Raises ResourceNotFoundError."""
        return self._again(lambda: self._client.get_entity(partition_key, row_key))

    def create_entity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ResourceExistsError."""
        return self._again(lambda: self._client.create_entity(row))

    def update_entity(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Raises ResourceModifiedError, and ResourceNotFoundError where the row is gone."""
        return self._again(lambda: self._client.update_entity(row, **options))

    def upsert_entity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the row, whether it is there or not."""
        return self._again(lambda: self._client.upsert_entity(row))

    def delete_entity(self, row: Mapping[str, Any]) -> None:
        """Also where the row is not there."""
        self._again(lambda: self._client.delete_entity(row["PartitionKey"], row["RowKey"]))

    def submit_transaction(self, operations: Sequence[Any]) -> None:
        """All of them or none. Raises TableTransactionError."""
        self._again(lambda: self._client.submit_transaction(operations))

    def query_entities(self, query: str, **options: Any) -> Iterator[TableEntity]:
        """The rows, read while they are asked for; none of a table that was deleted."""
        try:
            yield from self._client.query_entities(query, **options)
        except HttpResponseError as error:
            if not _is_table_gone(error):
                raise
            self._make()

    def one_if_there(self, verb: str, row: Mapping[str, Any], **options: Any) -> None:
        """Does to one row what a transaction was to do: "update" or "delete"."""
        if verb == "delete":
            self.delete_entity(row)
            return
        with suppress(ResourceNotFoundError):
            self.update_entity(row, **options)

    def _again(self, work: Callable[[], Found]) -> Found:
        try:
            return work()
        except HttpResponseError as error:
            if not _is_table_gone(error):
                raise
            self._make()
        return work()

    def _make(self) -> None:
        with suppress(ResourceExistsError):  # another host was first
            self._client.create_table()


class Tables:
    """The tables of one deployment. `prefix` is DICOM Cast's TableStore__TableNamePrefix.

    All clients are made at once, before threads share them: making one, azure-core links anew the policies that all
    clients of a service go through, and a request that is under way in another thread falls.
    """

    def __init__(self, service: TableServiceClient, prefix: str, names: Iterable[str]) -> None:
        self._tables = {name: Table(service.get_table_client(prefix + name)) for name in names}

    def __getitem__(self, name: str) -> Table:
        """The table; no request is made. Use it inside `storage_faults`."""
        return self._tables[name]


def _is_table_gone(error: HttpResponseError) -> bool:
    """Not the row, but its table; the tables SDK sets the storage service's own code, but for an insert."""
    if (code := getattr(error, "error_code", None)) is not None:
        return bool(code == TableErrorCode.TABLE_NOT_FOUND)
    return error.status_code == requests.codes.not_found and TableErrorCode.TABLE_NOT_FOUND.value in str(error)


def _another_came_first(error: BaseException) -> bool:
    """Of any other refusal the same would be said again."""
    refusals = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
    return isinstance(error, HttpResponseError) and error.status_code in refusals


unless_another_came_first = retry(
    retry=retry_if_exception(_another_came_first), stop=stop_after_attempt(MAX_ATTEMPTS), reraise=True
)
"""Reads and writes again after somebody else has written what was read."""


def newest_first(now: datetime) -> str:
    """A new id. Tables sort by key: it begins with the time that is left until the year 2527, in milliseconds."""
    return f"{16**11 - int(now.timestamp() * 1000):011x}-{secrets.token_hex(4)}"


def int64(value: int) -> EntityProperty:
    """A number as the original wrote it; a plain int would be stored as 32 bits."""
    return EntityProperty(value, EdmType.INT64)


def number(value: Any) -> int:
    """A number out of a row: 64 bits come wrapped, 32 bits plain."""
    return int(value.value if isinstance(value, EntityProperty) else value)


def record_of(adapter: TypeAdapter[Found], table: str, row: Mapping[str, Any]) -> Found | None:
    """What the row's column `Record` says as JSON; None, and a warning, where it cannot be read."""
    try:
        return adapter.validate_json(row["Record"])
    except (KeyError, TypeError, ValueError):
        logger.warning("the row %s of %s cannot be read, and is passed over", row.get("RowKey"), table)
        return None


@contextmanager
def storage_faults() -> Iterator[None]:
    """Any fault of storage that is not caught inside is an outage: state cannot be kept without it."""
    try:
        yield
    except AzureError as error:
        raise _outage(error) from error
    except AttributeError as error:
        # azure-data-tables 12.7 trips over an answer that breaks off: it looks for the headers of no response.
        if not isinstance(error.__context__, AzureError):
            raise
        raise _outage(error.__context__) from error
    except requests.RequestException as error:
        # The answer to a batch is read after the SDK's own handling is through: what breaks it off comes as it is.
        raise _outage(error) from error


def _outage(error: AzureError | requests.RequestException) -> OutageError:
    where = _service_of(error) or "the storage account"
    if isinstance(error, HttpResponseError) and error.status_code:
        return OutageError("storage", f"{where} answered {error.status_code}")
    if isinstance(error, ServiceRequestError):
        return OutageError("storage", f"{where} cannot be reached")
    if isinstance(error, ServiceResponseTimeoutError):
        return OutageError("storage", f"{where} does not answer")
    if isinstance(error, ServiceResponseError | requests.RequestException):
        return OutageError("storage", f"{where} gave no whole answer ({type(error).__name__})")
    return OutageError("storage", f"{where}: {type(error).__name__}")


def _service_of(error: AzureError | requests.RequestException) -> str | None:
    """The URL without path and query: these name rows, and a query may be a shared access signature."""
    inner = getattr(error, "inner_exception", None) or error
    asked = getattr(getattr(error, "response", None), "request", None) or getattr(inner, "request", None)
    url = urlsplit(str(getattr(asked, "url", "")))
    if url.netloc:
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    # Where no connection was made there is no request: urllib3 names the connection.
    for one in (getattr(inner, "conn", None), *inner.args):
        if isinstance(one, HTTPConnection):
            scheme = "https" if isinstance(one, HTTPSConnection) else "http"
            return f"{scheme}://{one.host}" + (f":{one.port}" if one.port != one.default_port else "")
    return None

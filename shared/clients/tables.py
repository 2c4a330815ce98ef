"""Azure Table storage: tables that are made when first needed, and its faults in the app's own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from azure.core.exceptions import AzureError
from azure.data.tables import EdmType, EntityProperty, TableClient, TableServiceClient

from shared.errors import OutageError


class Tables:
    """The tables of one deployment. `prefix` is DICOM Cast's TableStore__TableNamePrefix."""

    def __init__(self, service: TableServiceClient, prefix: str) -> None:
        self._service = service
        self._prefix = prefix
        self._made: dict[str, TableClient] = {}

    def __getitem__(self, name: str) -> TableClient:
        """The table, made if it is not there. Use it inside `storage_faults`."""
        if name not in self._made:
            self._made[name] = self._service.create_table_if_not_exists(self._prefix + name)
        return self._made[name]


def int64(value: int) -> EntityProperty:
    """A number as the original wrote it; a plain int would be stored as 32 bits."""
    return EntityProperty(value, EdmType.INT64)


def number(value: Any) -> int:
    """A number out of a row: 64 bits come wrapped, 32 bits plain."""
    return int(value.value if isinstance(value, EntityProperty) else value)


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
    return OutageError("storage", f"{type(error).__name__} {getattr(error, 'status_code', '') or ''}".rstrip())

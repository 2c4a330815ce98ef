"""Faults of Azure Storage, raised as OutageError: without storage the app cannot keep its state."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from urllib3.connection import HTTPConnection, HTTPSConnection

from shared.errors import OutageError


@contextmanager
def storage_faults() -> Iterator[None]:
    """Raises OutageError for any fault of storage within the block that is not caught there."""
    try:
        yield
    except AzureError as error:
        raise _outage(error) from error
    except AttributeError as error:
        # A bug of azure-data-tables 12.7: if an answer breaks off, it looks for the headers of a response it has not.
        if not isinstance(error.__context__, AzureError):
            raise
        raise _outage(error.__context__) from error
    except requests.RequestException as error:
        # The SDK reads the answer to a batch outside of its own error handling, so this error comes unchanged.
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
    """The URL that was requested, without path and query: these name rows, or may be a shared access signature."""
    inner = getattr(error, "inner_exception", None) or error
    request = getattr(getattr(error, "response", None), "request", None) or getattr(inner, "request", None)
    url = urlsplit(str(getattr(request, "url", "")))
    if url.netloc:
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    # If there was no connection, there is no request either, but urllib3's error has the connection.
    for one in (getattr(inner, "conn", None), *inner.args):
        if isinstance(one, HTTPConnection):
            scheme = "https" if isinstance(one, HTTPSConnection) else "http"
            return f"{scheme}://{one.host}" + (f":{one.port}" if one.port != one.default_port else "")
    return None

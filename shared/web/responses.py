"""HTTP responses: JSON, problems (RFC 9457), plain text and the files of the pages."""

import functools
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import azure.functions as func

from shared.errors import (
    DicomCastError,
    OutageError,
    RequestError,
    SettingsError,
    SwitchedOffError,
    TooManyReplaysError,
)

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HERE = Path(__file__).parent
_PAGE = "dashboard"
STUDY_PAGE = "study"
"""Name of the page of one study; its file stands among the dashboard's."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".yaml": "application/yaml"}
_EVERY_RESPONSE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_STATUSES = {SwitchedOffError: HTTPStatus.NOT_FOUND, OutageError: HTTPStatus.SERVICE_UNAVAILABLE}

Trigger = Callable[[func.HttpRequest], func.HttpResponse]


def json_response(body: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> func.HttpResponse:
    """The body as JSON. An underscore in the name of a header stands for a hyphen."""
    text = json.dumps(body)  # in ASCII, because half of a surrogate pair cannot be encoded in UTF-8
    return _response(text, status, "application/json", headers)


def text_response(text: str, status: HTTPStatus = HTTPStatus.OK) -> func.HttpResponse:
    """Plain text."""
    return _response(text, status, "text/plain", {})


def found(body: Any) -> func.HttpResponse:
    """The body as JSON, or 404 if it is None."""
    return problem(HTTPStatus.NOT_FOUND, "there is none of this name") if body is None else json_response(body)


def moved(where: str) -> func.HttpResponse:
    """A permanent redirect to another URL, which may be relative."""
    return _response("", HTTPStatus.PERMANENT_REDIRECT, "text/plain", {"Location": where})


def problem(status: HTTPStatus, detail: str, faults: Sequence[str] = ()) -> func.HttpResponse:
    """A problem as JSON: what is wrong, and every fault by itself if there are several."""
    body = {"title": status.phrase, "status": status.value, "detail": detail}
    errors = {"errors": list(faults)} if faults else {}
    return _response(json.dumps(body | errors, ensure_ascii=False), status, "application/problem+json", {})


def with_problems(trigger: Trigger) -> Trigger:
    """Turns the errors that the app knows into problems, each with the status that fits it."""

    @functools.wraps(trigger)
    def respond(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return trigger(req)
        except TooManyReplaysError as error:
            return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error))
        except RequestError as error:
            return problem(HTTPStatus.BAD_REQUEST, "the request cannot be understood", error.faults)
        except SettingsError as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the app's settings are not usable", error.faults)
        except DicomCastError as error:
            known = (status for kind, status in _STATUSES.items() if isinstance(error, kind))
            return problem(next(known, HTTPStatus.BAD_GATEWAY), str(error))

    return respond


def page(name: str | None) -> func.HttpResponse:
    """The dashboard, the page of one study, or a file that they load. 404 for any other name."""
    files = {path.name.removesuffix(".html"): path for path in (_HERE / "dashboard").iterdir() if path.suffix in _TYPES}
    path = files.get(name or _PAGE)
    if path is None:
        return problem(HTTPStatus.NOT_FOUND, "the dashboard has no such file")
    return _file(path)


def openapi() -> func.HttpResponse:
    """The description of the API."""
    return _file(_HERE / "openapi.yaml")


def _file(path: Path) -> func.HttpResponse:
    text = path.read_text(encoding="utf-8")
    return _response(text, HTTPStatus.OK, _TYPES[path.suffix], {"Content-Security-Policy": PAGE_POLICY})


def _response(body: str, status: HTTPStatus, mimetype: str, headers: dict[str, str]) -> func.HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpResponse(body, status_code=status, mimetype=mimetype, headers=_EVERY_RESPONSE | named)

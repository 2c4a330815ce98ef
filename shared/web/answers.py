"""HTTP answers: JSON, problems (RFC 9457), text and the page's files."""

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
"""The page of one study, as the dashboard's file of this name."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".yaml": "application/yaml"}
_EVERY_ANSWER = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_STATUSES = {SwitchedOffError: HTTPStatus.NOT_FOUND, OutageError: HTTPStatus.SERVICE_UNAVAILABLE}

Trigger = Callable[[func.HttpRequest], func.HttpResponse]


def json_answer(body: Any, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> func.HttpResponse:
    """The body as JSON; underscores in a header's name stand for hyphens."""
    return _answer(json.dumps(body), status, "application/json", headers)  # in ASCII, as half a surrogate is no UTF-8


def text_answer(text: str, status: HTTPStatus = HTTPStatus.OK) -> func.HttpResponse:
    """Plain text."""
    return _answer(text, status, "text/plain", {})


def found(body: Any) -> func.HttpResponse:
    """The body, or 404 where it is None."""
    return problem(HTTPStatus.NOT_FOUND, "there is none of this name") if body is None else json_answer(body)


def moved(where: str) -> func.HttpResponse:
    """Sends the caller to another URL, which may be relative."""
    return _answer("", HTTPStatus.PERMANENT_REDIRECT, "text/plain", {"Location": where})


def problem(status: HTTPStatus, detail: str, faults: Sequence[str] = ()) -> func.HttpResponse:
    """What is wrong and what to do."""
    said = {"title": status.phrase, "status": status.value, "detail": detail}
    body = said | ({"errors": list(faults)} if faults else {})
    return _answer(json.dumps(body, ensure_ascii=False), status, "application/problem+json", {})


def told(trigger: Trigger) -> Trigger:
    """The trigger, whose known errors become problems."""

    @functools.wraps(trigger)
    def answer(req: func.HttpRequest) -> func.HttpResponse:
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

    return answer


def page(name: str | None) -> func.HttpResponse:
    """The dashboard, the page of one study, or one of the files that they load; 404 for any other."""
    files = {path.name.removesuffix(".html"): path for path in (_HERE / "dashboard").iterdir() if path.suffix in _TYPES}
    path = files.get(name or _PAGE)
    if path is None:
        return problem(HTTPStatus.NOT_FOUND, "the dashboard has no such file")
    return _file(path)


def openapi() -> func.HttpResponse:
    """The description of the API."""
    return _file(_HERE / "openapi.yaml")


def _file(path: Path) -> func.HttpResponse:
    return _answer(
        path.read_text(encoding="utf-8"), HTTPStatus.OK, _TYPES[path.suffix], {"Content-Security-Policy": PAGE_POLICY}
    )


def _answer(body: str, status: HTTPStatus, mimetype: str, headers: dict[str, str]) -> func.HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return func.HttpResponse(body, status_code=status, mimetype=mimetype, headers=_EVERY_ANSWER | named)

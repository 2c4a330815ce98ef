"""An ASGI app behind `requests`, without sockets: the real clients speak to the real service in one process."""

import asyncio
import inspect
import io
import threading
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

URL = "http://dicom.test"


class _Loop:
    """One event loop in a thread of its own, for all services of the process."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="service", daemon=True).start()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


_loop = _Loop()


class InProcess(requests.adapters.BaseAdapter):
    """Answers a session's requests out of the app. `now` is the service's clock, as its `Date` tells it."""

    def __init__(self, app, now):
        super().__init__()
        self._app = app
        self._now = now

    def send(self, request, **_how):
        scope = _scope(request)
        status, headers, body = _at_once(self._app, scope) or _loop.run(_answered(self._app, scope, request.body))
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(headers | {"Date": format_datetime(self._now(), usegmt=True)})
        response.raw = io.BytesIO(body)
        response.url, response.request = request.url, request
        return response

    def close(self):
        pass


def _at_once(app, scope):
    """The answer of an endpoint that is a plain function, called in this thread; None where it is not.

    By the app's whole road each request would wait for two other threads, which is most of what it costs.
    """
    route, matched = _matched(app.routes, scope)
    if route is None or inspect.iscoroutinefunction(route.endpoint) or scope["method"] not in (route.methods or ()):
        return None
    try:
        response = route.endpoint(Request({**matched, "app": app}))
    except HTTPException as error:
        response = Response(error.detail, error.status_code)
    if not hasattr(response, "body"):
        return None
    headers = {name.decode(): value.decode("latin-1") for name, value in response.raw_headers}
    return response.status_code, headers, bytes(response.body)


def _matched(routes, scope):
    for route in routes:
        match, more = route.matches(scope)
        if match is Match.NONE or (match is Match.PARTIAL and isinstance(route, Route)):
            continue
        within = {**scope, **more}
        if isinstance(route, Route):
            return route, within
        found = _matched(route.routes, within)
        if found[0] is not None:
            return found
    return None, scope


def _scope(request):
    url = urlsplit(request.url)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers.items()],
        "server": (url.hostname, 80),
        "client": ("127.0.0.1", 1),
    }
    scope["headers"].append((b"host", url.netloc.encode()))
    return scope


async def _answered(app, scope, body):
    body = body or b""
    asked = [{"type": "http.request", "body": body.encode() if isinstance(body, str) else body}]
    told = []

    async def receive():
        return asked.pop() if asked else {"type": "http.disconnect"}

    async def send(message):
        told.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode("latin-1") for name, value in told[0]["headers"]}
    return told[0]["status"], headers, b"".join(one.get("body", b"") for one in told[1:])

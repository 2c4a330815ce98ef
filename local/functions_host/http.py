"""Serves HTTP triggers as Starlette routes, with their methods, route templates and function keys."""

import hmac
import re
from collections.abc import Sequence
from pathlib import Path

import azure.functions as func
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from local.functions_host.indexing import Function
from local.functions_host.invocation import invoke

METHODS = ("GET", "POST", "DELETE", "HEAD", "PATCH", "PUT", "OPTIONS")
# Azure's route constraints and Starlette's convertors. A constraint without a convertor is matched as text.
_CONVERTORS = {"int": "int", "long": "int", "float": "float", "double": "float", "decimal": "float", "guid": "uuid"}


def routes_of(function: Function, prefix: str, root: Path, key: str) -> list[BaseRoute]:
    """The function's routes: one, or two if the last parameter is optional; each with and without a slash at its end.

    ASP.NET Core, which does the Functions host's routing, ignores that slash. `prefix`: of host.json; `root`: the app's
    folder; `key`: the function key.
    """
    methods = [getattr(method, "value", method) for method in function.trigger.get("methods") or METHODS]
    level = getattr(function.trigger.get("authLevel"), "value", "function")

    async def serve(request: Request) -> Response:
        if level != "anonymous" and not _has_key(request, key):
            return Response(status_code=401)
        body = await request.body()
        try:
            answer = await invoke(function, _http_request(request, body), "This function was called via HTTP.", root)
        except Exception:  # noqa: BLE001 the host answers 500 whatever the function raised; it is logged
            return Response(status_code=500)
        return _response(answer)

    paths = paths_of(url_template(function, prefix))
    return [Route(path + end, serve, methods=methods, name=function.name) for path in paths for end in ("", "/")]


def url_template(function: Function, prefix: str) -> str:
    """The route template as Azure writes it, after the prefix of host.json."""
    route = function.trigger.get("route") or function.name
    return "/" + "/".join(part.strip("/") for part in (prefix, route) if part.strip("/"))


def paths_of(template: str) -> Sequence[str]:
    """Starlette's paths for a route template of Azure, which may have `{id:int}`, `{id?}` or `{*rest}`."""
    optional = re.search(r"/\{(\w+)(:[^}?]+)?\?\}$", template)
    if optional:
        whole = template[: optional.start()] + f"/{{{optional[1]}{optional[2] or ''}}}"
        return [*paths_of(whole), *paths_of(template[: optional.start()])]
    return [re.sub(r"\{(\*?)(\w+)(?::([^}]+))?\}", _parameter, template)]


def _parameter(match: re.Match[str]) -> str:
    catch_all, name, constraint = match.groups()
    convertor = "path" if catch_all else _CONVERTORS.get(constraint or "")
    return f"{{{name}:{convertor}}}" if convertor else f"{{{name}}}"


def _has_key(request: Request, key: str) -> bool:
    given = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
    return hmac.compare_digest(given.encode(), key.encode())


def _http_request(request: Request, body: bytes) -> func.HttpRequest:
    """The request as azure.functions has it."""
    return func.HttpRequest(
        request.method,
        str(request.url),
        headers=dict(request.headers),
        params=dict(request.query_params),
        route_params={name: str(value) for name, value in request.path_params.items()},
        body=body,
    )


def _response(answer: func.HttpResponse | str | None) -> Response:
    """What the function returned as a response; 204 for None."""
    if answer is None:
        return Response(status_code=204)
    if isinstance(answer, str):
        return Response(answer, media_type="text/plain")
    headers = dict(answer.headers)
    headers.setdefault("content-type", f"{answer.mimetype}; charset={answer.charset}")
    return Response(answer.get_body(), answer.status_code, headers)


def host_status(_: Request) -> Response:
    """`GET /admin/host/status`, as Core Tools answer it when the functions are served."""
    return JSONResponse({"state": "Running"})


def application(functions: Sequence[Function], prefix: str, root: Path, key: str, admin: list[BaseRoute]) -> Starlette:
    """All HTTP functions, after the host's own routes."""
    served = [route for function in functions if function.is_http for route in routes_of(function, prefix, root, key)]
    return Starlette(routes=[Route("/admin/host/status", host_status), *admin, *served])

"""`python -m local.functions_host`: serves the app's HTTP triggers and fires its timers."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from local.functions_host.http import METHODS, application, url_template
from local.functions_host.indexing import Function, index
from local.functions_host.readable import ReadableFilter, ReadableFormatter
from local.functions_host.settings import HostError, read_app_settings, read_host_json, resolved
from local.functions_host.telemetry import start_telemetry
from local.functions_host.timer import Schedule, Timer
from local.processes import listens

STOP_SECONDS = 10
logger = logging.getLogger("host")


def main() -> None:
    """Runs the host. Exits with 1 and a message if it cannot start."""
    arguments = parser().parse_args()
    try:
        asyncio.run(_serve(arguments))
    except HostError as error:
        sys.exit(f"functions host: {error}")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7071, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--app-root", type=Path, default=Path.cwd(), help="folder of function_app.py (default: this one)"
    )
    parser.add_argument("--settings", type=Path, help="default: local.settings.json of the app root")
    parser.add_argument("--key", help="function key; default: a new one each start")
    parser.add_argument("--no-timers", action="store_true", help="timers run only when asked to over /admin")
    parser.add_argument(
        "--readable", action="store_true", help="a sentence for each tick that did something; no line for each call"
    )
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    root: Path = arguments.app_root.resolve()
    settings = read_app_settings(arguments.settings or root / "local.settings.json")
    given = {name.lower() for name in os.environ}  # the app ignores the case of names
    os.environ.update({name: value for name, value in settings.items() if name.lower() not in given})
    host_json = read_host_json(root)
    if listens(arguments.port):
        raise HostError(f"port {arguments.port} is taken; stop what uses it or name another with --port")
    _configure_logging(host_json, is_readable=arguments.readable)
    start_telemetry()
    functions = index(root)
    timers = {one.name: _timer(one, root) for one in functions if one.is_timer}
    key: str = arguments.key or secrets.token_urlsafe(24)
    prefix = host_json.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    app = application(functions, prefix, root, key, [_run_now(timers, key)])
    if not arguments.readable:
        _print_functions(functions, f"http://{arguments.host}:{arguments.port}", prefix, key)

    config = uvicorn.Config(app, arguments.host, arguments.port, log_config=None, access_log=False)
    async with _running_timers([] if arguments.no_timers else list(timers.values())):
        await _Server(config).serve()


class _Server(uvicorn.Server):
    """Stops serving at the first SIGINT or SIGTERM, and ends the process at the second.

    uvicorn's own handler would raise the signal again, before the timers' runs have ended.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        if self.should_exit:
            os._exit(130)
        self.should_exit = True


@contextlib.asynccontextmanager
async def _running_timers(timers: list[Timer]) -> AsyncIterator[None]:
    """Runs the timers until the block ends; then no run starts, and those under way have STOP_SECONDS to end."""
    tasks = [asyncio.create_task(timer.run()) for timer in timers]
    yield
    await asyncio.gather(*(timer.stop(STOP_SECONDS) for timer in timers))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _timer(function: Function, root: Path) -> Timer:
    where = f"function {function.name}"
    return Timer(function, Schedule(resolved(function.trigger["schedule"], os.environ, where), where), root)


def _run_now(timers: dict[str, Timer], key: str) -> Route:
    """The route `POST /admin/functions/{name}`, which runs a timer function now, as in Core Tools."""
    running: set[asyncio.Task[None]] = set()

    async def run_now(request: Request) -> Response:
        if not secrets.compare_digest(request.headers.get("x-functions-key", ""), key):
            return Response(status_code=401)
        timer = timers.get(request.path_params["name"])
        if timer is None:
            return Response(status_code=404)
        task = asyncio.create_task(timer.fire("This function was programmatically called via the host APIs."))
        running.add(task)
        task.add_done_callback(running.discard)
        return Response(status_code=202)

    return Route("/admin/functions/{name}", run_now, methods=["POST"])


def _print_functions(functions: list[Function], url: str, prefix: str, key: str) -> None:
    print("\nFunctions:\n")
    for function in functions:
        if function.is_http:
            methods = function.trigger.get("methods") or METHODS
            text = ",".join(getattr(method, "value", method) for method in methods)
            print(f"        {function.name}: [{text}] {url}{url_template(function, prefix)}\n")
        else:
            schedule = resolved(function.trigger["schedule"], os.environ, function.name)
            print(f"        {function.name}: timerTrigger {schedule}\n")
    print(f"Function key: {key}\n", flush=True)


def _configure_logging(host_json: dict[str, Any], *, is_readable: bool) -> None:
    handler = logging.StreamHandler()
    if is_readable:
        handler.addFilter(ReadableFilter())
        handler.setFormatter(ReadableFormatter())
    else:
        form = logging.Formatter("[%(asctime)s.%(msecs)03d] %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        handler.setFormatter(form)
    levels = host_json.get("logging", {}).get("logLevel", {})
    logging.basicConfig(level=_level(levels.get("default", "Information")), handlers=[handler], force=True)
    # Only uvicorn is silenced, which Azure does not use: what the app's libraries log is in Azure's log too.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _level(name: str) -> int:
    levels = {"trace": 10, "debug": 10, "information": 20, "warning": 30, "error": 40, "critical": 50, "none": 60}
    return levels.get(name.lower(), logging.INFO)


if __name__ == "__main__":
    main()

"""The app of one tree of code, as its host runs it: `python -P <this file> '{"schedule": ..., "settings": {...}}'` in that tree.

This file drives the code of older commits too, so it rests on what all of them have: `bootstrap.build`, `App` and its
ports. Commands come as lines of JSON, and each is answered by a line.
"""

import gc
import json
import logging
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import requests
from azure.data.tables import TableClient

from local.functions_host.timer import Schedule
from shared import bootstrap

try:
    from shared.model.failures import ErrorTable, FailedEntry
    from shared.model.watermark import Watermark
    from shared.settings.config import SETTINGS, read_settings
    from shared.web.replay_request import replay_of
except ModuleNotFoundError:  # of a commit that has other rooms
    from shared.config import SETTINGS, read_settings
    from shared.failures import ErrorTable, FailedEntry

    from shared.model import Watermark  # type: ignore[attr-defined]

    replay_of = None

Json = dict[str, Any]
LANES = 8
PAGES_AT_ONCE = 4
RECORDED_AT_ONCE = 1_000
SCHEDULE = "SyncSchedule"


class Requests:
    """What this process sends, by port: under every library that the app may use lies http.client."""

    def __init__(self) -> None:
        self.sent: Counter[int] = Counter()
        self.seconds: Counter[int] = Counter()
        self.gets: list[tuple[int, str]] = []
        put, get = HTTPConnection.putrequest, HTTPConnection.getresponse
        began: dict[HTTPConnection, float] = {}

        def counted(connection: HTTPConnection, method: str, url: str, *rest: Any, **more: Any) -> None:
            self.sent[connection.port] += 1
            if method == "GET":
                self.gets.append((connection.port, url))
            began[connection] = time.monotonic()
            put(connection, method, url, *rest, **more)

        def timed(connection: HTTPConnection) -> HTTPResponse:
            response = get(connection)
            self.seconds[connection.port] += time.monotonic() - began.pop(connection)
            return response

        HTTPConnection.putrequest, HTTPConnection.getresponse = counted, timed


class Transactions:
    """The CPU seconds that the tables' SDK takes to build transactions of rows, to send them, and to read the answers."""

    def __init__(self) -> None:
        self.seconds = 0.0
        submit = TableClient.submit_transaction

        def timed(client: TableClient, *rest: Any, **more: Any) -> Any:
            began = time.thread_time()
            try:
                return submit(client, *rest, **more)
            finally:
                self.seconds += time.thread_time() - began

        TableClient.submit_transaction = timed  # type: ignore[method-assign]


class Host:
    """`told`: settings; schedule, None: the tree's default."""

    def __init__(self, told: Json) -> None:
        self._told = told
        self._requests = Requests()
        self._transactions = Transactions()
        self._cpu = 0.0
        self._app: Any = None
        self._clock = 0.0
        self._ticks: list[Json] = []
        self._stopping = threading.Event()
        self._ticking: threading.Thread | None = None
        self._schedule = Schedule(told["schedule"] or default_schedule(), "the benchmark")

    def begin(self, prefix: str, more: Json, clock: float | None) -> Json:
        """The app anew. Where a `clock` is given, its time is what it is told."""
        if clock is not None:
            self._clock = clock
            bootstrap._utc_now = lambda: datetime.fromtimestamp(self._clock, UTC)
        own = {"TableStore__TableNamePrefix": f"f{os.getpid()}{prefix}"}
        settings = {**self._told["settings"], **own, **more}
        self._app = bootstrap.build(read_settings(settings))
        gc.collect()
        # As the app of a process does; commits of before call it `settle`.
        (getattr(bootstrap, "freeze_startup_objects", None) or bootstrap.settle)()  # type: ignore[attr-defined]
        return {"settings": settings}

    def tick(self, clock: float | None) -> Json:
        """One tick; at that time, where one is given."""
        self._clock = clock or self._clock
        return self._tick()

    def idle(self, seconds: float) -> Json:
        """Ticks at the times that the schedule names, of the clock that `begin` was given; ticks, and CPU seconds."""
        end, ticks, began = self._clock + seconds, 0, time.process_time()
        while (due := self._schedule.next_after(datetime.fromtimestamp(self._clock, UTC)).timestamp()) <= end:
            self.tick(due)
            ticks += 1
        return {"ticks": ticks, "cpu": time.process_time() - began}

    def drain(self, seconds: float) -> Json:
        """Ticks by the schedule until nothing is left, or so long."""
        end = time.time() + seconds
        self._begin_ticking()
        self._by_schedule(lambda tick: tick["lag"] == 0 or time.time() > end)
        return {"ticks": self._ticks}

    def start(self) -> Json:
        """Ticks by the schedule from now on."""
        self._begin_ticking()
        self._ticking = threading.Thread(target=self._by_schedule, args=(lambda _: False,), daemon=True)
        self._ticking.start()
        return {}

    def ticks(self) -> Json:
        """Those since `start` that are over."""
        return {"ticks": self._ticks}

    def stop(self) -> Json:
        """No more ticks; the one that is going ends first."""
        assert self._ticking
        self._stopping.set()
        self._ticking.join()
        return {"ticks": self._ticks}

    def lag(self) -> Json:
        """Age of the oldest entry that is not synced, as the app itself says it; None where it cannot say."""
        lag = self._app.status().lag
        return {"seconds": lag.seconds if lag else None}

    def start_replay(self, body: Json) -> Json:
        asked = json.dumps(body).encode()
        asked = replay_of(asked, self._app.latest_entry()) if replay_of else asked
        return {"id": self._app.start_replay(asked).id}

    def replayed(self, replay_id: str) -> Json:
        replay = self._app.replay(replay_id)
        progress = replay.progress
        told = {"done": progress.done, "written": progress.written, "unchanged": progress.unchanged}
        return {**told, "failed": progress.failed, "is_under_way": replay.is_under_way}

    def record_errors(self, root: str, first: int, last: int) -> Json:
        """A stored error for each of these one-instance studies, whose numbers are their sequences too."""
        for start in range(first, last + 1, RECORDED_AT_ONCE):
            numbers = range(start, min(start + RECORDED_AT_ONCE, last + 1))
            self._app.ports.errors.record([_failure(root, number) for number in numbers])
        return {}

    def read_feed(self) -> Json:
        """All pages of the feed, read and parsed as a batch does it."""
        started = time.perf_counter()
        pages = self._app.ports.feed.pages(Watermark(), PAGES_AT_ONCE)
        entries = sum(len(page.entries) for page in pages)
        return {"entries": entries, "seconds": time.perf_counter() - started}

    def count(self) -> Json:
        """Counts from nought from now on."""
        self._requests.sent.clear()
        self._requests.seconds.clear()
        self._requests.gets.clear()
        self._transactions.seconds = 0.0
        self._cpu = time.process_time()
        return {}

    def counted(self) -> Json:
        """Requests by port since `count`."""
        return {str(port): sent for port, sent in self._requests.sent.items()}

    def waited(self, port: int) -> float:
        """Seconds from each request to this port until its answer began, since `count`; of all threads together."""
        return self._requests.seconds[port]

    def spent(self) -> Json:
        """CPU seconds of this process since `count`, and those of them that went into transactions of rows."""
        return {"cpu": time.process_time() - self._cpu, "transactions": self._transactions.seconds}

    def get_again(self, port: int) -> Json:
        """What was read from this port since `count`, once more with nothing around it."""
        paths = [path for to, path in self._requests.gets if to == port]
        threads = threading.local()

        def get(path: str) -> int:
            if not hasattr(threads, "session"):
                threads.session = requests.Session()
            return len(threads.session.get(f"http://127.0.0.1:{port}{path}", timeout=60).content)

        started = time.perf_counter()
        with ThreadPoolExecutor(LANES) as lanes:
            read = sum(lanes.map(get, paths))
        return {"reads": len(paths), "bytes": read, "seconds": time.perf_counter() - started}

    def _begin_ticking(self) -> None:
        self._ticks = []
        self._stopping.clear()

    def _by_schedule(self, is_over: Callable[[Json], bool]) -> None:
        """As the Functions host fires a timer: what passed while a run was going is made up for once."""
        due = self._schedule.next_after(_now())
        while not self._stopping.wait(max(0.0, (due - _now()).total_seconds())):
            tick = self._tick()
            self._ticks.append(tick)
            if is_over(tick):
                break
            due = max(_now(), self._schedule.next_after(due))

    def _tick(self) -> Json:
        began = time.time()
        record = self._app.tick()
        result = record.result
        if record.error or result is None:
            print(f"the tick ended as {record.outcome}: {record.error}", file=sys.stderr, flush=True)
        return {
            "began": began,
            "ended": time.time(),
            "error": record.error,
            "entries": result.written + result.unchanged if result else 0,
            "failed": result.failed if result else 0,
            "lag": record.lag.entries if record.lag else None,
        }


def default_schedule() -> str:
    """Of the settings' table where it has one, else of the sample that the README says to begin with."""
    for row in SETTINGS:
        if row.name == SCHEDULE and row.default:
            return row.default
    sample = json.loads(Path("local.settings.sample.json").read_text(encoding="utf-8"))
    schedule = sample["Values"][SCHEDULE]
    assert re.fullmatch(r"\S+( \S+){5}", schedule)
    return str(schedule)


def _failure(root: str, number: int) -> FailedEntry:
    study = f"{root}.{number}"
    return FailedEntry(
        ErrorTable.FHIR, number, study, f"{study}.0", f"{study}.0.0", "FhirRefusedError", "FHIR server: status 422"
    )


def _now() -> datetime:
    return datetime.now().astimezone()


if __name__ == "__main__":
    logging.basicConfig(filename=os.devnull, level=logging.INFO)  # what a host does with lines costs what it costs
    host = Host(json.loads(sys.argv[1]))
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(host, name)(*arguments)), flush=True)

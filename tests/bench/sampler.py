"""Where this process spends its CPU time: by stage of the sync, and by function.

Every few milliseconds a thread looks at the stacks of all others, and adds the CPU time that each has used since to what
it is doing. No timing code is needed in the app, and no call is made slower, as by a tracing profiler. The thread asks
for its turn after a short switch interval, so that it finds the others where they were, or where a call into C has just
returned. (A signal does not do: Python handles it in the main thread, which waits where lanes work.) Linux only: the
clocks of single threads are asked for.
"""

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Self

INTERVAL_SECONDS = 0.001
SWITCH_SECONDS = 0.001
"""How long the sampling thread waits for its turn."""
_ROOT = str(Path(__file__).parents[2]) + "/"
_LIBRARY = re.compile(r".*/(?=site-packages/)|.*/python3[.]\d+(?=/)")

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("FHIR JSON", ("shared/clients/fhir", "shared/mapping/transaction", "reference.py:_json", "reference.py:_bundle")),
    ("merge", ("shared/mapping/merge", "reference_mapping.py:merge")),
    ("map", ("shared/mapping/", "reference_mapping.py")),
    ("feed JSON", ("shared/clients/dicom/", "reference.py:feed")),
    (
        "storage",
        ("site-packages/azure/", "shared/clients/azure/"),
    ),
)
"""A stack is of the first stage that one of its functions, from the inside out, belongs to: by `path:function`."""
_HTTP = (
    "site-packages/requests/",
    "site-packages/urllib3/",
    "/http/client.py",
    "/socket.py",
    "/ssl.py",
    "shared/clients/http",
)
_JSON = ("/json/", "json_of", "requests/models.py:json", "requests/models.py:text", "requests/utils.py:guess_json")


class Sampler:
    """Samples while it is entered. `stages` and `functions`: CPU seconds."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self._used: dict[int, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._used = {thread.ident: _cpu_seconds(thread.ident) for thread in threading.enumerate()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_interval)

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            for ident, frame in sys._current_frames().items():
                if ident != threading.get_ident():
                    self._take(ident, frame)

    def _take(self, ident: int, frame: FrameType | None) -> None:
        try:
            used = _cpu_seconds(ident)
        except OSError:  # the thread has ended meanwhile
            return
        spent = used - self._used.get(ident, 0.0)
        self._used[ident] = used
        if spent > 0:
            names = list(_names(frame))
            self.stages[stage_of(names)] += spent
            caller = next((name for name in names if name.startswith(("shared/", "tests/"))), "")
            self.functions[names[0] if names[0] == caller else f"{names[0]} < {caller}"] += spent


def stage_of(names: list[str]) -> str:
    """The stage that a stack belongs to; `names` from the inside out."""
    is_json = any(mark in name for name in names for mark in _JSON)
    for name in names:
        if not is_json and any(mark in name for mark in _HTTP):
            return "HTTP" if not any("site-packages/azure" in outer for outer in names) else "storage"
        for stage, marks in STAGES:
            if any(mark in name for mark in marks):
                return stage
    return "rest"


def _names(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        path = frame.f_code.co_filename.removeprefix(_ROOT)
        yield f"{_LIBRARY.sub('', path)}:{frame.f_code.co_name}"
        frame = frame.f_back


def _cpu_seconds(ident: int) -> float:
    return time.clock_gettime(time.pthread_getcpuclockid(ident))

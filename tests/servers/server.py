"""Other people's FHIR servers as child processes: HAPI FHIR and Medplum's router, each by its folder's `start`.

Both hold everything in memory and listen on 127.0.0.1. What they need is built or installed once, outside the checkout:
by `python -m tests.servers.server NAME`, or else when they are first started.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.processes import Program, Running, free_port, ready_at

HERE = Path(__file__).parent
NEEDS = {"hapi": ("java", "mvn"), "medplum": ("node", "npm")}
"""The programs that a server's `start` calls, by the server's name."""
READY_SECONDS = 240  # HAPI's first build takes half a minute, and its packages come over the network


def missing(name: str) -> list[str]:
    """The programs that the server needs and this machine has not."""
    return [program for program in ("bash", *NEEDS[name]) if shutil.which(program) is None]


def install(name: str) -> int:
    """Fetches and builds what the server needs, unless this machine lacks the programs for it; the exit code."""
    if programs := missing(name):
        print(f"no {', no '.join(programs)} here: {name} cannot be started")
        return 0
    return subprocess.run([HERE / name / "start", "--install"], check=False).returncode


@contextmanager
def started(name: str, log: Path) -> Iterator[str]:
    """The base URL of a server of one's own, empty at its start. Raises StackError where it cannot be started."""
    with started_process(name, log) as (url, _):
        yield url


@contextmanager
def started_process(name: str, log: Path) -> Iterator[tuple[str, int]]:
    """The same, and the id of its process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/fhir"
    command = [str(HERE / name / "start"), str(port)]
    server = Running(Program(name, command, ready_at(f"{url}/metadata"), log, HERE, {}, READY_SECONDS))
    try:
        server.await_ready()
        yield url, server.process.pid
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(install(sys.argv[1]))

"""Programs of the stack as child processes: started, awaited, and never left behind."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

READY_SECONDS = 30
STOP_SECONDS = 15
_PR_SET_PDEATHSIG = 1  # prctl(2)
_given: set[int] = set()


class StackError(Exception):
    """The stack cannot run; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `ready` is asked for `ready_seconds`; `log` is where the output goes, None: to the terminal."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    log: Path | None
    directory: Path
    environment: Mapping[str, str]
    ready_seconds: float = READY_SECONDS


class Running:
    """A started program. It dies with us: by its process group, and on Linux by the kernel even if we are killed."""

    def __init__(self, program: Program) -> None:
        self.program = program
        output = program.log.open("wb") if program.log else None
        self.process = subprocess.Popen(
            program.command,
            cwd=program.directory,
            env={**os.environ, **program.environment},
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 one prctl, no locks
        )
        if output:
            output.close()

    def await_ready(self) -> None:
        """Raises StackError with the end of the log where it died, or is not ready in time."""
        deadline = time.monotonic() + self.program.ready_seconds
        while not self.program.ready():
            if self.process.poll() is not None:
                raise StackError(f"{self.program.name} ended with code {self.process.returncode}{self._log_tail()}")
            if time.monotonic() > deadline:
                seconds = f"{self.program.ready_seconds:g}"
                raise StackError(f"{self.program.name} is not ready after {seconds} s{self._log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Asks it to end, then makes it."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _log_tail(self) -> str:
        if self.program.log is None:
            return ""
        lines = self.program.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return f"; see {self.program.log}\n" + "\n".join(f"    {line}" for line in lines)


def answers(url: str) -> Callable[[], bool]:
    """Whether a GET of the URL is answered with 200."""

    def ready() -> bool:
        try:
            return requests.get(url, timeout=2).ok
        except requests.RequestException:
            return False

    return ready


def listens(port: int) -> bool:
    """Whether somebody listens on the port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on, another at each call, and that for a while the system gives to nobody else.

    A connection that its server closed first stays in TIME_WAIT, a minute on Linux (RFC 9293, 3.6.1). So long the port
    is only for who asks for it by number and sets SO_REUSEADDR, as servers do; other runs on the machine get others.
    """
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            with socket.create_connection(address), server.accept()[0]:
                port: int = address[1]
        if port not in _given:
            _given.add(port)
            return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

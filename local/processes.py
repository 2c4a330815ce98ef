"""Programs of the stack as child processes, which end with this process."""

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
"""How long a program may take to start."""
STOP_SECONDS = 15
"""How long a program may take to end after SIGTERM; then it is killed."""
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ports_given: set[int] = set()


class StackError(Exception):
    """What was asked cannot be done; the message is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run in `directory`, with the variables of `environment` added to ours.

    `ready`: whether it takes requests; it is called until that is so, for at most `ready_seconds`. `log`: the file for
    its output; None for the terminal.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    log: Path | None
    directory: Path
    environment: Mapping[str, str]
    ready_seconds: float = READY_SECONDS


class Running:
    """A started program, in a process group of its own. On Linux, the kernel kills it if this process dies."""

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
        """Waits until the program is ready. Raises StackError, with the log's end, if it ends first or is too slow."""
        deadline = time.monotonic() + self.program.ready_seconds
        while not self.program.ready():
            if self.process.poll() is not None:
                raise StackError(f"{self.program.name} ended with code {self.process.returncode}{self._log_tail()}")
            if time.monotonic() > deadline:
                seconds = f"{self.program.ready_seconds:g}"
                raise StackError(f"{self.program.name} is not ready after {seconds} s{self._log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends the program and its children with SIGTERM; with SIGKILL if it does not end within STOP_SECONDS."""
        if self.process.poll() is None:
            self._send(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._send(signal.SIGKILL)
                self.process.wait()

    def kill(self) -> None:
        """Ends the program and its children at once with SIGKILL, as a crash would."""
        self._send(signal.SIGKILL)
        self.process.wait()

    def _send(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _log_tail(self) -> str:
        if self.program.log is None:
            return ""
        lines = self.program.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return f"; see {self.program.log}\n" + "\n".join(f"    {line}" for line in lines)


def ready_at(url: str) -> Callable[[], bool]:
    """A function that says whether a GET of the URL has a status below 400, within 2 s."""

    def ready() -> bool:
        try:
            return requests.get(url, timeout=2).ok
        except requests.RequestException:
            return False

    return ready


def listens(port: int) -> bool:
    """Whether a program listens on the port at 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port on which no program listens, a different one at each call; the system assigns it to nobody for a minute.

    A connection that its server closed first stays in TIME_WAIT, a minute on Linux (RFC 9293, 3.6.1). Meanwhile the
    port can only be had by number and with SO_REUSEADDR, as servers ask for it; others that want any port get another.
    """
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            with socket.create_connection(address), server.accept()[0]:
                port: int = address[1]
        if port not in _ports_given:
            _ports_given.add(port)
            return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

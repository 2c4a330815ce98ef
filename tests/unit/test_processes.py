"""The ports that the local stack and the tests are given, and how long a program is waited for."""

import socket
import sys
from pathlib import Path

import pytest

from local.processes import Program, Running, StackError, free_port, listens


def test_a_free_port_is_kept_for_who_asked():
    """Nobody listens; for the system it is in use, so it goes to nobody else; a server can be started on it, and again."""
    port = free_port()
    assert not listens(port)
    with socket.socket() as somebody, pytest.raises(OSError, match="in use"):
        somebody.bind(("127.0.0.1", port))
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            assert listens(port)


def test_no_free_port_is_given_twice():
    """However many are asked for: what an app wrote under one's URL is not another's."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)


def test_no_test_names_the_storage_of_make_run():
    """`UseDevelopmentStorage=true` is Azurite on its usual ports: a test's tick there would move a running app's watermark.

    Only who reads settings, and calls nobody, may name it.
    """
    tests = Path(__file__).parents[1]
    naming = [file.name for file in tests.rglob("*.py") if "UseDevelopmentStorage=true" in file.read_text("utf-8")]
    may_name = {"test_cold_start.py", "test_config.py", "test_study_switch.py", Path(__file__).name}
    assert sorted({*naming} - may_name) == []


def test_a_program_is_waited_for_as_long_as_it_may_take(tmp_path):
    """A FHIR server that is built first is given minutes; one that ends meanwhile is told of at once."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", "print('still building', flush=True); import time; time.sleep(60)"]
    running = Running(Program("server", command, lambda: False, log, tmp_path, {}, ready_seconds=1.5))
    try:
        with pytest.raises(StackError, match=r"(?s)server is not ready after 1\.5 s.*still building"):
            running.await_ready()
    finally:
        running.stop()
    ended = Running(Program("server", [sys.executable, "-c", "exit(3)"], lambda: False, log, tmp_path, {}, 60))
    with pytest.raises(StackError, match="server ended with code 3"):
        ended.await_ready()

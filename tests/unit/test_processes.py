"""The ports that the local stack and the tests are given."""

import socket

import pytest

from local.processes import free_port, listens


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

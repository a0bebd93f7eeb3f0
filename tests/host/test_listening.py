"""Who has a port that was to be ours."""

from __future__ import annotations

import errno
import os
import pwd
import socket

import pytest

from actors.host import listening, tcp

TAKEN = OSError(errno.EADDRINUSE, "Address already in use")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_program_that_can_be_seen_is_named(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{host} is not there")
    with server:
        told = listening.with_holder(TAKEN, server.getsockname()[1])

    assert told.startswith(f"Address already in use (pid {os.getpid()}: ")


def test_of_a_program_that_cannot_be_seen_the_user_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "running", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = listening.with_holder(TAKEN, server.getsockname()[1])

    name = pwd.getpwuid(os.getuid()).pw_name
    assert told == f"Address already in use (user {name})"


def test_who_lets_machines_join_is_told_who_has_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=rf"already in use \(pid {os.getpid()}: "):
            tcp.listen("127.0.0.1", port)


def test_of_what_is_nobodys_only_the_error_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    refused = OSError(errno.EACCES, "Permission denied")
    assert listening.with_holder(TAKEN, port) == "Address already in use"
    assert listening.with_holder(refused, port) == "Permission denied"

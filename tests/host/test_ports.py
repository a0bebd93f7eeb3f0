"""Ports that are given away once."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from actors.host import ports

if TYPE_CHECKING:
    import pytest


def test_a_port_that_was_given_away_is_not_given_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody listens at it yet: the one who asked is about to start.
    first = ports.free_port()
    offered = iter([first, first, first + 1, *range(20000, 32000)])
    monkeypatch.setattr("secrets.choice", lambda _: next(offered))

    assert ports.free_port() != first


def test_a_port_that_somebody_has_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        offered = iter([taken, *range(20000, 32000)])
        monkeypatch.setattr("secrets.choice", lambda _: next(offered))

        assert ports.free_port() != taken


def test_no_process_keeps_more_than_a_few() -> None:
    for _ in range(100):
        ports.free_port()

    assert len(ports._kept) <= 32  # noqa: SLF001


def test_another_who_holds_all_of_their_names_keeps_nobody_from_a_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = range(31990, 32000)
    monkeypatch.setattr(ports, "_PORTS", names)
    with contextlib.ExitStack() as stack:
        for number in names:
            holder = stack.enter_context(
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            )
            with contextlib.suppress(OSError):  # a test beside this one has it
                holder.bind(f"\0lowtide-port-{number}")

        with socket.create_server(("127.0.0.1", ports.free_port())):
            pass

"""The two ends of a line, over a real connection of this host."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from actors.cluster.connection import GateListener, Line, LineEndedError, call
from actors.cluster.keys import Key
from actors.cluster.messages import AskStatus, Beat, Refuse
from actors.host import tcp

KEY = Key(b"a key of all machines, 32 bytes or more")
WITHIN_S = 20.0


@dataclass
class Ends:
    gate: Line
    machine: Line

    def until(self, condition: Any) -> None:
        while not condition():
            ends = {self.gate.fd: self.gate, self.machine.fd: self.machine}
            ready, _, _ = select.select(list(ends), [], [], WITHIN_S)
            assert ready
            for fd in ready:
                ends[fd].receive()


class Listening(socket.socket):
    def accept(self) -> tuple[Any, Any]:
        connection, address = super().accept()
        connection.setblocking(False)  # noqa: FBT003
        return connection, address


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Listening() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        [endpoint] = tcp.endpoints(*listening.getsockname())
        machine = call(tcp.connect(endpoint), KEY, "leader", 5.0)
        gate = GateListener(listening, KEY, 5.0).accept()
    assert gate is not None
    two = Ends(gate, machine)
    machine.flush()
    two.until(lambda: gate.is_open and machine.is_open)
    yield two
    gate.close()
    machine.close()


def test_why_a_line_ends_is_read_whatever_was_said_to_the_one_that_ends_it(
    ends: Ends,
) -> None:
    for number in range(1000):
        ends.machine.send(AskStatus(number=number))
    select.select([ends.gate.fd], [], [], WITHIN_S)

    ends.gate.send(Refuse(reason="another took its place", for_now=True))
    ends.gate.close()

    heard: list[Any] = []

    def listen_on() -> None:
        while True:
            select.select([ends.machine.fd], [], [], WITHIN_S)
            heard.extend(ends.machine.receive())

    with pytest.raises(LineEndedError):
        listen_on()
    assert Refuse(reason="another took its place", for_now=True) in heard


def test_one_that_sends_on_holds_up_nobody_who_hangs_up(ends: Ends) -> None:
    ends.machine.send(Beat())

    ends.gate.close()

    assert ends.gate.fd == -1

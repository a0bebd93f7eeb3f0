"""A directory for sockets, and processes that are none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.actor_system import sockets
from actors.actor_system.connections import Connections

if TYPE_CHECKING:
    from actors.actor_system.sockets import Directory

WITHIN_S = 10.0


class Party:
    """One who talks: what it was sent, and a loop that is run by hand."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.name = name
        self.alive = True
        self.received: list[tuple[str, bytes]] = []
        self.connections = Connections(
            directory, name, lambda *each: self.received.append(each)
        )

    def send(self, other: Party, content: bytes) -> bool:
        return self.connections.send(other.name, content)

    def die(self) -> None:
        """End, as a process that is killed does."""
        self.connections.close()
        self.alive = False

    def turn(self) -> None:
        """Do what can be done at once."""
        for fd, event in self.connections.poll.poll(0):
            assert self.connections.ready(fd, event)

    @property
    def contents(self) -> list[bytes]:
        return [content for _, content in self.received]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    made = sockets.make(tmp_path / "sockets")
    yield made
    os.close(made.fd)


@pytest.fixture
def party(directory: Directory) -> Iterator[Callable[[str], Party]]:
    made: list[Party] = []

    def make(name: str) -> Party:
        made.append(Party(directory, name))
        return made[-1]

    yield make
    for each in made:
        if each.alive:
            each.die()


def turn_until(condition: Callable[[], object], *parties: Party) -> None:
    """Let all of them go on until ``condition`` holds."""
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end, "not in time"
        for each in parties:
            each.turn()

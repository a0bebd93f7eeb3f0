"""What may go wrong, and where: nothing, unless a test or a seed says so."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeAlias

from actors.demand.messages import (
    Cancel,
    Confirm,
    Demand,
    Done,
    Jobs,
    Ping,
    Subscribe,
    Subscribed,
)

if TYPE_CHECKING:
    from actors.testing.base import Node

#: How long a message takes between two processes of one machine, in seconds.
LATENCY_S = 0.0003

#: What the demand protocol can lose: it says everything again that got no answer.
LOSABLE = (Cancel, Confirm, Demand, Done, Jobs, Ping, Subscribe, Subscribed)

#: Delays of the copies of a message, and whether each keeps its turn on the wire.
Route: TypeAlias = tuple[tuple[float, bool], ...]

#: Where a process can be made to die.
POINTS = (
    "handler.began",
    "handler.ended",
    "message.sent",
    "call.began",
    "call.ended",
    "commit.began",
    "commit.ended",
    "sync.began",
)


class Killed(BaseException):
    """The process in which this is raised dies here."""


class Calm:
    """Nothing goes wrong but what is asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it is to be repeatable
        self.call_s: dict[str, float] = {}
        self._lost: list[type] = []

    def chance(self) -> float:
        """Uniform in 0 to 1."""
        return self.random.random()

    def lose(self, kind: type, count: int) -> None:
        """Lose the next ``count`` messages of a kind."""
        self._lost += [kind] * count

    def route(self, sender: Node, receiver: Node, message: Any) -> Route:  # noqa: ARG002
        """Say when a message arrives; nothing for never, several for a repetition."""
        if type(message) in self._lost:
            self._lost.remove(type(message))
            return ()
        return ((LATENCY_S, True),)

    def reach(self, point: str, node: Node) -> None:
        """A process has come to one of the ``POINTS``.

        Raises:
            Killed: It goes no further.
        """

    def commit_error(self, node: Node) -> str | None:  # noqa: ARG002
        """Why this process cannot write to the disk, if it cannot."""
        return None

    def duration_s(self, worker: str) -> float:
        """How long a worker's next call takes; its kind stands before the dash."""
        return self.call_s.get(worker.partition("-")[0], 0.0)

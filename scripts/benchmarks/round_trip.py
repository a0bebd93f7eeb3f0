"""A program: one Thespian message there and back, over our transport, many times.

Prints the median in seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thespian.actors import Actor

from actors.actor_system import sockets
from actors.actor_system.system_base import Base

#: Of the first ones, since connections are made.
WARM_UP = 100
WITHIN_S = 100


@dataclass(frozen=True, slots=True)
class Begin:
    """To the one who asks: how often."""

    count: int


@dataclass(frozen=True, slots=True)
class Ball:
    """What goes there and back."""

    number: int


class Echo(Actor):  # type: ignore[misc]
    """Sends back what it gets."""

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        """Thespian's name."""
        if isinstance(message, Ball):
            self.send(sender, message)


class Asker(Actor):  # type: ignore[misc]
    """Sends one message after the other, and tells how long each was away."""

    began = 0.0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        """Thespian's name."""
        if isinstance(message, Begin):
            self.asker, self.left = sender, message.count + WARM_UP
            self.times: list[float] = []
            self.echo = self.createActor(Echo)
        elif isinstance(message, Ball):
            self.times.append(time.perf_counter() - self.began)
            self.left -= 1
        else:
            return
        if self.left:
            self.began = time.perf_counter()
            self.send(self.echo, Ball(self.left))
        else:
            self.send(self.asker, self.times[WARM_UP:])


def main(count: int, directory: Path) -> None:
    """Measure and print."""
    where = sockets.make(directory / f"round-trip-{os.getpid()}")
    base = Base(where, (Begin, Ball))
    asker = base.newPrimaryActor(Asker, None, None)
    times = base.ask(asker, Begin(count), WITHIN_S)
    base.shutdown()
    sockets.remove(where.path)
    if times is None:
        sys.exit(f"no answer within {WITHIN_S} s")
    print(json.dumps(statistics.median(times)))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

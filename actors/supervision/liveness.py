"""The root's watch over its stages, and its own sign of life to the main process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.supervision.heartbeat import Pulse
from actors.supervision.messages import AskSign

if TYPE_CHECKING:
    from actors.supervision.root import RootActor

#: The root's own name among those whose time has come.
_ROOT = ""


class Liveness:
    """Finds stages that hang, whatever they hold: their processes are there.

    One that is dead the root hears of at once. A processor that holds jobs is
    found by its fetcher as well, within ``--lease``.
    """

    def __init__(self, root: RootActor, limit_s: float, now: float) -> None:
        self._root = root
        self._pulse = Pulse(limit_s)
        self._pulse.begin(_ROOT, now)

    def started(self, name: str, now: float) -> None:
        """A stage is ready, and is to answer from now on."""
        self._pulse.begin(name, now)

    def heard(self, name: str, now: float) -> None:
        """A stage said something."""
        self._pulse.heard(name, now)

    def exited(self, name: str) -> None:
        """A stage is gone."""
        self._pulse.end(name)

    def tick(self, now: float) -> None:
        """Ask whom it is time to ask; end who has not answered."""
        self._pulse.heard(_ROOT, now)
        for name in self._pulse.silent(now):
            self._pulse.end(name)
            self._root.supervisor.kill_silent(name)
        for name in self._pulse.due(now):
            if name == _ROOT:
                self._root.reporter.beat()
            else:
                self._root.tell(name, AskSign())

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        return self._pulse.next_tick()

"""The machines that have joined: who is there, who is away, who is lost.

1. A machine is known by the run of what joined there, and has a name for people.
2. One whose line ended may come back within ``RETURN_S``, and nothing has
   happened. One that gave no sign for as long as the line bears is lost at once.
3. When it is lost, so are its processes: what they held is to be done elsewhere.
   One that comes back later is a new one, whatever it remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.demand.job import Process

#: How long a machine whose line ended has to come back, in seconds.
RETURN_S = 2.0


class NameTakenError(ValueError):
    """Another machine has this name."""


@dataclass(slots=True, eq=False)
class Machine:
    """One machine that joined.

    Attributes:
        run: Unique for each start of what joined there.
        host: What it calls itself.
        line: Another one after each loss.
        processes: By their runs.
        awaited: Those that have died and are to be restarted there, by their names.
        away_since: When its line ended, monotonic seconds; None while it stands.
    """

    name: str
    run: str
    host: str
    line: str
    processes: dict[str, Process] = field(default_factory=dict)
    awaited: dict[str, Process] = field(default_factory=dict)
    away_since: float | None = None

    @property
    def processors(self) -> Iterator[Process]:
        """Those that work, and those that are to be restarted."""
        yield from self.processes.values()
        yield from self.awaited.values()

    def state_of(self, process: Process) -> str:
        """How one of its processors is of which nothing is heard."""
        if self.away_since is not None:
            return "away"
        return "silent" if process.run in self.processes else "backoff"


class Machines:
    """Those that have joined and are not lost."""

    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._by_run: dict[str, Machine] = {}
        self._lines = 0

    def __iter__(self) -> Iterator[Machine]:
        return iter(tuple(self._by_run.values()))

    def get(self, run: str) -> Machine | None:
        """The machine of this run."""
        return self._by_run.get(run)

    def joins(self, name: str, run: str, host: str) -> tuple[Machine, Machine | None]:
        """Admit a machine, or one that comes back in time.

        Returns:
            The machine, and the one that is lost because it takes its place.

        Raises:
            NameTakenError: Another machine of this name is there.
        """
        if (known := self._by_run.get(run)) is not None:
            if known.name != name:
                raise NameTakenError(f"it joins as the run of machine {known.name!r}")
            known.away_since = None
            return known, None
        former = next((each for each in self if each.name == name), None)
        if former is not None:
            if former.away_since is None:
                raise NameTakenError(f"a machine named {name!r} has joined already")
            del self._by_run[former.run]
        self._lines += 1
        line = f"{self._incarnation}.{self._lines}"
        machine = self._by_run[run] = Machine(name, run, host, line)
        return machine, former

    def line_ended(self, run: str, now: float, *, silent: bool) -> Machine | None:
        """A machine's line ended; returns it if it is lost by that."""
        machine = self._by_run.get(run)
        if machine is None:
            return None
        if silent:
            return self._by_run.pop(run)
        machine.away_since = now
        return None

    def leaves(self, run: str) -> Machine | None:
        """A machine says that it leaves; returns it."""
        return self._by_run.pop(run, None)

    def due(self, now: float) -> list[Machine]:
        """Take those that did not come back in time."""
        lost = [
            each
            for each in self
            if each.away_since is not None and now >= each.away_since + RETURN_S
        ]
        for each in lost:
            del self._by_run[each.run]
        return lost

    def next_due(self) -> float | None:
        """When ``due`` has somebody next."""
        times = [
            each.away_since + RETURN_S for each in self if each.away_since is not None
        ]
        return min(times, default=None)

    def process_up(self, run: str, process: Process) -> bool:
        """A process is ready on a machine; returns whether that is news."""
        machine = self._by_run.get(run)
        if machine is None or process.run in machine.processes:
            return False
        machine.awaited.pop(process.name, None)
        machine.processes[process.run] = process
        return True

    def process_gone(self, run: str, process: Process, *, for_good: bool) -> bool:
        """A process on a machine is no more; returns whether that is news.

        Of one that was to be restarted, its end for good is news as well.
        """
        machine = self._by_run.get(run)
        if machine is None:
            return False
        if machine.processes.pop(process.run, None) is not None:
            if not for_good:
                machine.awaited[process.name] = process
            return True
        # What was started in its place may have failed before it was ready.
        return for_good and machine.awaited.pop(process.name, None) is not None

    def where(self, name: str) -> tuple[Machine, Process] | None:
        """The process of this name, and its machine."""
        for machine in self:
            for process in machine.processors:
                if process.name == name:
                    return machine, process
        return None

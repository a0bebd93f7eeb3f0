"""Where commands reach a root: other terminals' and the main process's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.actor_system.stage import Stage
    from actors.host.control_socket import ControlServer, Request
    from actors.host.reports import Reporter


class CommandsIn:
    """The control socket and the main process's line, watched by the stage at the top.

    One that cannot be reached by its socket goes on, and tries again: whoever stops
    the system does it by a signal then.
    """

    def __init__(
        self,
        stage: Stage,
        control: ControlServer,
        reporter: Reporter,
        run: Callable[[Request], None],
    ) -> None:
        self._stage = stage
        self._control = control
        self._reporter = reporter
        self._run = run
        self._watched: set[int] = set()
        self._told: str | None = None

    def tick(self, now: float) -> None:
        """See that others can reach the socket."""
        self._control.tick(now)
        self._watch()
        problem = self._control.problem
        if problem is not None and problem != self._told:
            self._reporter.unreachable(problem)
        self._told = problem

    def next_tick(self) -> float | None:
        """When to see to it again, in monotonic seconds."""
        return self._control.next_tick()

    def _watch(self) -> None:
        fds = set(self._control.fds)
        for fd in self._watched - fds:
            self._stage.unwatch(fd)
        for fd in fds:
            self._stage.watch(fd, lambda fd=fd: self._ready(fd))  # type: ignore[misc]
        self._watched = fds

    def _ready(self, fd: int) -> None:
        request = self._control.ready(fd)
        self._watch()
        if request is not None:
            self._run(request)

"""Asks the user's functions where jobs go, in a thread of its own."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.flow.messages import Failure
from actors.flow.routing import Routes
from actors.stages.failures import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.flow.facts import Job
    from actors.flow.life import Life
    from actors.flow.routing import Routing
    from actors.runtime.worker import Worker

#: How long a job's routes may take to be found where no --job-timeout is set.
LIMIT_S = 30.0
#: So many jobs are asked about in one call of the thread.
AT_ONCE = 256
#: Threads that are left to a function that hangs; with so many, no more is asked.
MOST_HANGING = 16


class Found(NamedTuple):
    """Where a job goes, by its key."""

    key: int
    routes: Routes


class RouteFinder:
    """Finds the routes of jobs that are kept, oldest first.

    A function that takes too long fails its job, and its thread is left to it: the
    fetcher goes on, and so do the jobs behind.
    """

    def __init__(
        self,
        routing: Routing,
        life: Life,
        worker: Worker,
        limit_s: float | None,
        log: FilteringBoundLogger,
    ) -> None:
        self._routing = routing
        self._life = life
        self._worker = worker
        self._limit_s = LIMIT_S if limit_s is None else limit_s
        self._log = log
        self._asked: dict[int, Any] = {}
        self._since = 0.0
        self._hanging = 0

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._worker.fd

    def go_on(self, now: float) -> None:
        """Ask about jobs, if there are some and nothing is asked.

        To be called when all that was decided is in the journal: a job that no file
        has is not to be shown to a function that may end this process.
        """
        if self._asked or not self._life.unrouted_count or self._is_stuck:
            return
        self._asked = {job.key: job for job in islice(self._life.unrouted, AT_ONCE)}
        self._since = now
        calls = _Calls(self._routing, list(self._asked.values()))
        self._worker.call(calls.run, calls.failed)

    def spoke(self, now: float) -> list[Found]:
        """What was found out since the last look."""
        found = [each for each in self._worker.take() if each.key in self._asked]
        for each in found:
            del self._asked[each.key]
        if found:
            self._since = now
        return found

    def overdue(self, now: float) -> list[Found]:
        """Give up the job that takes too long, if one does, and those before it."""
        found = self.spoke(now)
        due_at = self.next_tick()
        if due_at is None or now < due_at:
            return found
        self._worker.abandon()
        self._hanging += 1
        key, _ = next(iter(self._asked.items()))
        self._asked = {}
        what = "a selector" if self._routing.selectors else "partition_by"
        text = f"JobTimeoutError: {what} took longer than {self._limit_s:g} s"
        failure = Failure(text, permanent=True)
        if self._is_stuck:
            self._log.error("routes.stuck", hanging=self._hanging, asked=what)
        return [*found, Found(key, Routes(("",), {"": failure}))]

    def next_tick(self) -> float | None:
        """When a job takes too long, in monotonic seconds."""
        return self._since + self._limit_s if self._asked else None

    @property
    def _is_stuck(self) -> bool:
        return self._hanging >= MOST_HANGING


class _Calls:
    """Finds the routes of one job after another."""

    def __init__(self, routing: Routing, jobs: list[Job]) -> None:
        self._find = partial(routing.routes_of, describe=describe)
        self._left = jobs[::-1]

    def run(self) -> Iterator[Found]:
        """Yield what is found, in the order of the jobs."""
        while self._left:
            job = self._left[-1]
            found = Found(job.key, self._find(job.payload))
            self._left.pop()
            yield found

    def failed(self, error: BaseException) -> Iterator[Found]:
        """Fail the job whose call ended in none of the ways it should; go on."""
        if self._left:
            failure = describe(error)._replace(permanent=True)
            yield Found(self._left.pop().key, Routes(("",), {"": failure}))
        yield from self.run()

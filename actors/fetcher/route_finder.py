"""Asks the user's functions where jobs go, in a thread of its own."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import Failure
from actors.demand.job_routing import Routes
from actors.user_code.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.worker import Worker
    from actors.demand.job import Job
    from actors.demand.job_routing import Routing
    from actors.demand.job_store import JobStore

    ForkedCall: TypeAlias = Callable[[Callable[[], str], float], str]

#: How long a job's routes may take to be found where no --job-timeout is set.
LIMIT_S = 30.0
#: How many jobs are asked about in one call of the thread.
AT_ONCE = 256
#: Threads that are left to a function that hangs; with this many, no more is asked.
MOST_HANGING = 16


class Found(NamedTuple):
    """Where a job goes, by its key."""

    key: int
    routes: Routes


class RouteFinder:
    """Finds the routes of jobs that are kept, oldest first.

    A function that takes too long fails its job, and its thread is left to it: the
    fetcher goes on, and so do the jobs behind.

    A function that ends its process takes the fetcher along. What was kept by one that
    has ended may be what ended it: about such a job the function is asked in a process
    of its own.
    """

    def __init__(
        self,
        routing: Routing,
        store: JobStore,
        worker: Worker,
        limit_s: float | None,
        log: FilteringBoundLogger,
        *,
        forked_call: ForkedCall | None = None,
        first_key: int = 0,
    ) -> None:
        """Begin with nothing asked.

        Args:
            routing: What asks.
            store: What has the jobs.
            worker: The thread to ask in.
            limit_s: How long a job may take; None is `LIMIT_S`.
            log: This fetcher's.
            forked_call: Calls a function in a process of its own, where there is one.
            first_key: The first job's that this fetcher can have fetched itself.
        """
        self._routing = routing
        self._life = store
        self._worker = worker
        self._limit_s = LIMIT_S if limit_s is None else limit_s
        self._log = log
        self._asked: dict[int, Any] = {}
        self._since = 0.0
        self._hanging = 0
        self._forked_call = forked_call
        self._first_key = first_key
        self._forks = False

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
        jobs = list(islice(self._life.unrouted, AT_ONCE))
        suspects = [job for job in jobs if job.key < self._first_key]
        self._forks = self._forked_call is not None and bool(suspects)
        if self._forks:
            jobs = suspects
        self._asked = {job.key: job for job in jobs}
        self._since = now
        calls: _Calls = _Calls(self._routing, jobs)
        if self._forked_call is not None and self._forks:
            calls = _ForkedCalls(self._routing, jobs, self._forked_call, self._limit_s)
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
        what = _asked_of(self._routing)
        text = f"JobTimeoutError: {what} took longer than {self._limit_s:g} s"
        failure = Failure(text, permanent=True)
        if self._is_stuck:
            self._log.error("routes.stuck", hanging=self._hanging, asked=what)
        return [*found, Found(key, Routes(("",), {"": failure}))]

    def next_tick(self) -> float | None:
        """When a job takes too long, in monotonic seconds."""
        if self._forks:  # such a call has an end of its own
            return None
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


class _ForkedCalls(_Calls):
    """The same in a process of its own, which the function may end.

    All jobs are asked about in one; where that comes to nothing, in one for each.
    """

    def __init__(
        self, routing: Routing, jobs: list[Job], forked_call: ForkedCall, limit_s: float
    ) -> None:
        super().__init__(routing, jobs)
        self._forked_call = forked_call
        self._limit_s = limit_s
        self._what = _asked_of(routing)

    def run(self) -> Iterator[Found]:
        """Yield what is found, in the order of the jobs."""
        if len(self._left) > 1:
            for found in self._answers(self._left[::-1]):
                self._left.pop()
                yield found
        while self._left:
            job = self._left[-1]
            answers = self._answers([job]) or [Found(job.key, self._ended())]
            self._left.pop()
            yield from answers

    def _answers(self, jobs: list[Job]) -> list[Found]:
        """What is found about all of them, or nothing."""
        text = self._forked_call(partial(self._text_of, jobs), self._limit_s)
        routes = json.loads(text) if text else []
        return [
            Found(job.key, _routes_from(said))
            for job, said in zip(jobs, routes, strict=bool(routes))
        ]

    def _text_of(self, jobs: list[Job]) -> str:
        found = [self._find(job.payload) for job in jobs]
        return json.dumps([(each.names, dict(each.failures)) for each in found])

    def _ended(self) -> Routes:
        text = (
            f"RouteError: {self._what} ended the process that it was called in, or "
            f"took longer than {self._limit_s:g} s (where it goes)"
        )
        return Routes(("",), {"": Failure(text, permanent=True)})


def _routes_from(said: list[Any]) -> Routes:
    names, failures = said
    return Routes(
        tuple(names), {name: Failure(*failure) for name, failure in failures.items()}
    )


def _asked_of(routing: Routing) -> str:
    return "a selector" if routing.selectors else "partition_by"

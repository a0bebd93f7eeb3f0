"""Telling a source what became of its jobs, until it has heard.

One call is outstanding at a time. A call that fails is repeated after a while,
and others go first; after ``tries`` of them it is given up. Nothing of this is
kept over a restart: a source that waits for word hands the job out again, it is
known here, and is told once more.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.backoff import Backoff, obeyed
from actors.demand.copies import Copies
from actors.demand.job import as_json
from actors.fetcher.fetch_call import is_raw, own_options
from actors.host import forks
from actors.user_code.failures import attribute, describe
from actors.user_code.functions import given_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.worker import Worker
    from actors.demand.job import Failure, JobId, JobState
    from actors.demand.job_events import JobEvent
    from actors.demand.source_state import SourceState


class Acknowledgement(NamedTuple):
    """What a source is to be told of a job that has ended here.

    Attributes:
        id: As the fetcher knows the job.
        job: As the source gave it.
        outcome: ``state`` (done, quarantined or dropped), and what there is of
            ``result`` and ``error``; of a broadcast's job ``kinds`` as well, the same
            by the kind of processor.
    """

    id: JobId
    job: Any
    outcome: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgementPolicy:
    """How long to go on telling.

    Attributes:
        tries: Calls for one job in all.
        base_s: The longest wait after a first failure; it doubles with each
            further one up to ``cap_s``. Where in it the wait falls is chance.
        capacity: Jobs that may wait to be told of; beyond, the oldest goes.
    """

    tries: int = 8
    base_s: float = 1.0
    cap_s: float = 60.0
    capacity: int = 10_000

    def delay_s(self, tries: int, failure: Failure, chance: float) -> float | None:
        """Say how long to wait after the ``tries``-th try; None to give up."""
        if failure.permanent or tries >= self.tries:
            return None
        if failure.retry_after_s is not None:
            return obeyed(failure.retry_after_s)
        return Backoff(self.base_s, self.cap_s).longest_s(tries) * chance


class Acknowledgements:
    """Those that are still to be told, each with the time of its next try."""

    def __init__(self, policy: AcknowledgementPolicy | None = None) -> None:
        self._policy = policy or AcknowledgementPolicy()
        self._waiting: list[tuple[float, int, int, Acknowledgement]] = []
        self._running: tuple[int, Acknowledgement] | None = None
        self._added = 0
        self.failing = False

    def __len__(self) -> int:
        return len(self._waiting) + (self._running is not None)

    def add(
        self, acknowledgement: Acknowledgement, now: float
    ) -> Acknowledgement | None:
        """Have a source told; returns one that is given up for it, if there is."""
        self._added += 1
        heapq.heappush(self._waiting, (now, self._added, 0, acknowledgement))
        if len(self._waiting) <= self._policy.capacity:
            return None
        oldest = min(self._waiting, key=lambda each: each[1])
        self._waiting.remove(oldest)
        heapq.heapify(self._waiting)
        return oldest[3]

    def next(self, now: float) -> Acknowledgement | None:
        """Take the next to tell; None while one is told or none is due."""
        if self._running is not None or not self._waiting or self._waiting[0][0] > now:
            return None
        _, _, tries, acknowledgement = heapq.heappop(self._waiting)
        self._running = tries + 1, acknowledgement
        return acknowledgement

    def succeeded(self) -> Acknowledgement:
        """Record that the source has heard."""
        _, acknowledgement = self._taken()
        self.failing = False
        return acknowledgement

    def failed(
        self, failure: Failure, now: float, chance: float, *, throttled: bool = False
    ) -> tuple[Acknowledgement, float | None]:
        """Record that it has not; returns the seconds to the next try, or None.

        Args:
            failure: Why.
            now: Monotonic seconds.
            chance: Uniform in 0 to 1.
            throttled: The source asks to be left alone for a while. That is no
                failure, however often it happens.
        """
        tries, acknowledgement = self._taken()
        self.failing = not throttled
        tries -= throttled
        delay = self._policy.delay_s(max(1, tries), failure, chance)
        if delay is not None:
            self._added += 1
            again = now + delay, self._added, tries, acknowledgement
            heapq.heappush(self._waiting, again)
        return acknowledgement, delay

    def next_tick(self) -> float | None:
        """When ``next`` has one, in monotonic seconds."""
        if self._running is not None or not self._waiting:
            return None
        return self._waiting[0][0]

    def _taken(self) -> tuple[int, Acknowledgement]:
        running, self._running = self._running, None
        if running is None:
            raise AssertionError("nothing was told")
        return running


class Acknowledger:
    """Calls the user's ``settle`` for each job that has ended, one at a time.

    Beside the fetch's thread, which a source may hold for long.
    """

    def __init__(
        self,
        settle: Callable[..., Any],
        options: dict[str, Any],
        worker: Worker,
        log: FilteringBoundLogger,
        states: SourceState | None = None,
    ) -> None:
        # One that wants to know how far its source has been read is told.
        self._states = states if "state" in given_to(settle) else None
        self._settle = forks.guarded(settle)
        self._options = options
        self._log = log
        self._rules = Acknowledgements()
        self._worker = worker
        self.copies = Copies()

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._worker.fd

    @property
    def drained(self) -> bool:
        """Whether nothing is left to tell, or nobody listens.

        A source that is down is not waited for: it will hand the job out again.
        """
        return not self._rules or self._rules.failing

    def ended(self, events: Iterable[JobEvent], now: float) -> None:
        """Jobs have ended, and that is in the journal.

        A broadcast's job has when the last of its copies has.
        """
        for event in events:
            if (ended := self.copies.ended(event)) is not None:
                job, outcome = ended
                if not is_raw(job.id):
                    self._add(Acknowledgement(job.id, job.payload, outcome), now)

    def known(self, job_id: JobId, job: Any, state: JobState, now: float) -> None:
        """A job came again that had ended: the source has not heard of it."""
        if not is_raw(job_id) and not self.copies.is_open(job_id):
            self._add(Acknowledgement(job_id, job, {"state": state.value}), now)

    def go_on(self, now: float) -> None:
        """Begin the next call, if it is time."""
        if (acknowledgement := self._rules.next(now)) is not None:
            options = own_options(self._options)
            if self._states is not None:
                options["state"] = self._states.value
            run = partial(_settle_run, self._settle, acknowledgement, options)
            self._worker.call(run, _run_failed)

    def spoke(self, now: float, chance: float) -> None:
        """Note how a call ended."""
        for failure, throttled in self._worker.take():
            if failure is None:
                self._log.debug("job.settled", job_id=self._rules.succeeded().id)
                continue
            acknowledgement, delay = self._rules.failed(
                failure, now, chance, throttled=throttled
            )
            self._tell_failed(
                acknowledgement, failure.error, delay, throttled=throttled
            )

    def next_tick(self) -> float | None:
        """When ``go_on`` has something to do, in monotonic seconds."""
        return self._rules.next_tick()

    def _add(self, acknowledgement: Acknowledgement, now: float) -> None:
        if (given_up := self._rules.add(acknowledgement, now)) is not None:
            self._tell_failed(given_up, "too many wait to be settled", None)

    def _tell_failed(
        self,
        acknowledgement: Acknowledgement,
        error: str,
        delay: float | None,
        *,
        throttled: bool = False,
    ) -> None:
        level = "error" if delay is None else "debug" if throttled else "warning"
        retry_in_s = None if delay is None else round(delay, 3)
        getattr(self._log, level)(
            "job.unsettled",
            job_id=acknowledgement.id,
            error=error,
            retry_in_s=retry_in_s,
        )


def _settle_run(
    settle: Callable[..., Any],
    acknowledgement: Acknowledgement,
    options: dict[str, Any],
) -> Iterator[tuple[Failure | None, bool]]:
    failure, throttled = None, False
    try:
        # Its own, to do with as it likes: it may be called for this job again.
        job, outcome = as_json(acknowledgement.job), as_json(acknowledgement.outcome)
        settle(job, outcome, **options)
    except BaseException as error:  # noqa: BLE001 - sys.exit() would end the thread
        failure = describe(error)
        throttled = attribute(error, "throttled") is True
    yield failure, throttled


def _run_failed(error: BaseException) -> Iterator[tuple[Failure, bool]]:
    yield describe(error), False

"""Telling a source what became of its jobs, until it has heard.

One call is outstanding at a time. A call that fails is repeated after a while,
and others go first; after ``tries`` of them it is given up. Nothing of this is
kept over a restart: a source that waits for word hands the job out again, it is
known here, and is told once more.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import JobState
from actors.demand.job_events import JobDone, JobDropped, JobEvent, JobQuarantined
from actors.demand.polling import MAX_DOUBLINGS, MAX_RETRY_AFTER_S

if TYPE_CHECKING:
    from actors.demand.job import Failure, JobId


class Settlement(NamedTuple):
    """What a source is to be told of a job that has ended here.

    Attributes:
        id: As the fetcher knows the job.
        job: As the source gave it.
        outcome: ``state`` (done, quarantined or dropped), and what there is of
            ``result`` and ``error``.
    """

    id: JobId
    job: Any
    outcome: dict[str, Any]


def settlement_of(event: JobEvent) -> Settlement | None:
    """What follows from a event for the source, if anything does."""
    match event:
        case JobDone(job, result=result):
            said = {"state": JobState.DONE.value, "result": result}
        case JobQuarantined(job, failure=failure):
            said = {"state": JobState.QUARANTINED.value, "error": failure.error}
        case JobDropped(job, reason):
            said = {"state": JobState.DROPPED.value, "error": reason}
        case _:
            return None
    return Settlement(job.id, job.payload, said)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlePolicy:
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
            return min(max(0.0, failure.retry_after_s), MAX_RETRY_AFTER_S)
        doublings = min(tries - 1, MAX_DOUBLINGS)
        return min(self.cap_s, self.base_s * 2.0**doublings) * chance


class Settlements:
    """Those that are still to be told, each with the time of its next try."""

    def __init__(self, policy: SettlePolicy | None = None) -> None:
        self._policy = policy or SettlePolicy()
        self._waiting: list[tuple[float, int, int, Settlement]] = []
        self._running: tuple[int, Settlement] | None = None
        self._added = 0
        self.failing = False

    def __len__(self) -> int:
        return len(self._waiting) + (self._running is not None)

    def add(self, settlement: Settlement, now: float) -> Settlement | None:
        """Have a source told; returns one that is given up for it, if there is."""
        self._added += 1
        heapq.heappush(self._waiting, (now, self._added, 0, settlement))
        if len(self._waiting) <= self._policy.capacity:
            return None
        oldest = min(self._waiting, key=lambda each: each[1])
        self._waiting.remove(oldest)
        heapq.heapify(self._waiting)
        return oldest[3]

    def next(self, now: float) -> Settlement | None:
        """Take the next to tell; None while one is told or none is due."""
        if self._running is not None or not self._waiting or self._waiting[0][0] > now:
            return None
        _, _, tries, settlement = heapq.heappop(self._waiting)
        self._running = tries + 1, settlement
        return settlement

    def succeeded(self) -> Settlement:
        """Record that the source has heard."""
        _, settlement = self._taken()
        self.failing = False
        return settlement

    def failed(
        self, failure: Failure, now: float, chance: float, *, throttled: bool = False
    ) -> tuple[Settlement, float | None]:
        """Record that it has not; returns the seconds to the next try, or None.

        Args:
            failure: Why.
            now: Monotonic seconds.
            chance: Uniform in 0 to 1.
            throttled: The source asks to be left alone for a while. That is no
                failure, however often it happens.
        """
        tries, settlement = self._taken()
        self.failing = not throttled
        tries -= throttled
        delay = self._policy.delay_s(max(1, tries), failure, chance)
        if delay is not None:
            self._added += 1
            again = now + delay, self._added, tries, settlement
            heapq.heappush(self._waiting, again)
        return settlement, delay

    def next_tick(self) -> float | None:
        """When ``next`` has one, in monotonic seconds."""
        if self._running is not None or not self._waiting:
            return None
        return self._waiting[0][0]

    def _taken(self) -> tuple[int, Settlement]:
        running, self._running = self._running, None
        if running is None:
            raise AssertionError("nothing was told")
        return running

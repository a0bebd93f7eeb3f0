"""In place of a journal, where none is wanted: jobs live and die with their fetcher."""

from __future__ import annotations

import math
import secrets
import time
from typing import TYPE_CHECKING

from actors.demand.job import Accounting, Job, JobState
from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFetched,
    JobQuarantined,
)
from actors.demand.seen_ids import WINDOW_S, SeenIds
from actors.demand.source_state import KeptState
from actors.journal.journal import TakenUp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.demand.job import JobId

_ENDS = (JobDone, JobQuarantined, JobDropped)


class MemoryJournal:
    """Keeps nothing but which ids came before; what it is asked for is not there."""

    durable = False

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        remember_s: float = WINDOW_S,
    ) -> None:
        self._now = now
        # As in a journal, the window begins with a job's end.
        self._live: set[tuple[type, JobId]] = set()
        ends = (JobState.DONE, JobState.QUARANTINED, JobState.DROPPED)
        self._ended = {state: SeenIds(remember_s) for state in ends}
        # Nor is it over for one that is set aside.
        self._ended[JobState.QUARANTINED] = SeenIds(math.inf)

    def sent(self) -> list[tuple[float, int]]:
        """Nothing: whoever starts this fetcher again says that it was there."""
        return []

    def close(self) -> None:
        """There is nothing to let go of."""

    def take_up(self) -> TakenUp:
        """Nothing was left."""
        # Keys of an earlier run of this fetcher must not be taken for its own.
        return TakenUp(Accounting(), secrets.randbits(40) << 20, [])

    def load(
        self,
        state: JobState,  # noqa: ARG002
        after: int,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        most_bytes: int | None = None,  # noqa: ARG002
    ) -> list[Job]:
        """Nothing is kept."""
        return []

    def quarantined(self, keys: Iterable[int]) -> list[Job]:  # noqa: ARG002
        """Nothing is kept."""
        return []

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before, within the window."""
        return {
            each
            for each in ids
            if (type(each), each) in self._live or self.ended(each) is not None
        }

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not."""
        now = self._now()
        ends = (state for state, ids in self._ended.items() if ids.has(job_id, now))
        return next(ends, None)

    def state(self) -> KeptState:
        """Nothing was told before this process."""
        return KeptState()

    def size(self) -> int:
        """Nothing is kept."""
        return 0

    def sync(self) -> None:
        """Nothing outlives the process."""

    def purge(self) -> bool:
        """Nothing is kept."""
        return False

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:  # noqa: ARG002
        """Remember the ids."""
        now = self._now()
        for event in events:
            if type(event) is JobFetched:
                if event.job.own_id:
                    self._live.add((type(event.job.id), event.job.id))
            elif isinstance(event, _ENDS) and event.job.own_id:
                self._live.discard((type(event.job.id), event.job.id))
                self._ended[JobState.QUARANTINED].forget(event.job.id)
                self._ended[event.job.state].add(event.job.id, now)

"""In place of a journal, where none is wanted: jobs live and die with their fetcher."""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING

from actors.demand.copies import Copy, worst_of
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
        self._live: Counter[tuple[type, JobId]] = Counter()
        self._worst: dict[tuple[type, JobId], JobState] = {}
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

    def follow_copies(self) -> None:
        """They are."""

    def copies(self, job_id: JobId) -> list[Copy]:  # noqa: ARG002
        """Nothing is kept."""
        return []

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
                # Copies have the id of their job.
                known_by = type(event.job.id), event.job.id
                if event.job.own_id or known_by in self._live:
                    self._live[known_by] += 1
            elif isinstance(event, _ENDS):
                self._note_end(event.job, now)

    def _note_end(self, job: Job, now: float) -> None:
        known_by = type(job.id), job.id
        if known_by not in self._live:
            if job.own_id:  # it was set aside before
                self._ended[JobState.QUARANTINED].forget(job.id)
                self._ended[job.state].add(job.id, now)
            return
        worst = worst_of((job.state, self._worst.get(known_by, job.state)))
        self._live[known_by] -= 1
        if self._live[known_by]:
            self._worst[known_by] = worst
            return
        del self._live[known_by]
        self._worst.pop(known_by, None)
        self._ended[worst].add(job.id, now)

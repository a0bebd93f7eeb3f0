"""Which of a source's own job ids have come before, in memory.

A journal remembers them over restarts, in its table of jobs: ``actors/journal``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.demand.job import JobId

#: A job that a source sends again within this many seconds of its end is not run
#: again, where nothing else is set.
WINDOW_S = 7 * 24 * 3600.0


class SeenIds:
    """Remembers ids for a while, the newest ``capacity`` of them at most."""

    def __init__(self, window_s: float = WINDOW_S, capacity: int = 100_000) -> None:
        self._window_s = window_s
        self._capacity = capacity
        self._seen: OrderedDict[tuple[type, JobId], float] = OrderedDict()

    def add(self, job_id: JobId, now: float) -> None:
        """Remember an id."""
        key = type(job_id), job_id
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def forget(self, job_id: JobId) -> None:
        """Remember an id no longer."""
        self._seen.pop((type(job_id), job_id), None)

    def has(self, job_id: JobId, now: float) -> bool:
        """Whether an id came before, within the window."""
        at = self._seen.get((type(job_id), job_id))
        return at is not None and now - at < self._window_s

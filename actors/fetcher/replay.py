"""What an earlier run left in the journal: loaded in pages, and told while it lasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.demand.job import JobState

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.demand.job import Job
    from actors.demand.job_store import JobStore
    from actors.journal.journal import Journal

#: How often it is told how much is left, in seconds.
TOLD_EVERY_S = 10.0


@dataclass(slots=True)
class Backlog:
    """Reads on where the page before ended."""

    _journal: Journal
    _log: FilteringBoundLogger
    _loaded_key: int = 0
    _tell_at: float | None = None

    def page(self, store: JobStore) -> tuple[list[Job], bool]:
        """As many jobs as there is room for, and whether there may be more."""
        limit = store.buffer.size - len(store.buffer) - store.unrouted_count
        left = store.buffer.most_bytes
        most = (
            None
            if left is None
            else max(1, left - store.buffer.bytes - store.unrouted_bytes)
        )
        jobs = self._journal.load(JobState.READY, self._loaded_key, limit, most)
        self._loaded_key = jobs[-1].key if jobs else self._loaded_key
        large = most is not None and sum(job.size for job in jobs) >= most
        return jobs, large or len(jobs) == limit

    def tell(self, left: int, now: float) -> None:
        """Log how much is left, now and then, and that it is through."""
        if self._tell_at is None:
            self._tell_at = now + TOLD_EVERY_S
        if not left:
            self._log.info("journal.replayed")
        elif now >= self._tell_at:
            self._tell_at = now + TOLD_EVERY_S
            self._log.info("journal.replaying", left=left)

"""Decisions on their way out: kept in the journal first, then told and sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from actors.demand.job_events import (
    JobDone,
    JobFailed,
    JobLeased,
    JobQuarantined,
    JobReturned,
    JobRouted,
    OutcomeIgnored,
)
from actors.demand.messages import Confirm
from actors.journal.journal import JournalError, JournalLockedError
from actors.status.counters import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.job import Job, JobId, JobState
    from actors.demand.job_events import JobEvent
    from actors.demand.producer import Decision
    from actors.demand.source_state import KeptState
    from actors.journal.journal import TakenUp

#: How long outcomes wait for others, to be synced with them, in seconds.
SYNC_S = 0.01
#: How often a journal that failed is tried again, in seconds.
AGAIN_S = 1.0
#: A journal that another writes to is tried again soon: that may be a fetcher of ours.
SOON_S = 0.02
#: Who writes for longer, in seconds, is none of ours, and it is told.
LOCKED_S = 2.0


class Keeper(Protocol):
    """What a fetcher keeps its jobs in; see ``Journal`` for what each does."""

    durable: bool

    def close(self) -> None:
        """Let go of the file."""

    def take_up(self) -> TakenUp:
        """Make ready again what an earlier run had leased, and count everything."""

    def load(
        self, state: JobState, after: int, limit: int, most_bytes: int | None = None
    ) -> list[Job]:
        """Jobs in a state, in the order of fetching, from after a key on.

        No more once they come to ``most_bytes``; the first one always.
        """

    def quarantined(self, keys: Iterable[int]) -> list[Job]:
        """The quarantined jobs among these keys."""

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before."""

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not."""

    def state(self) -> KeptState:
        """What the source told last."""

    def purge(self) -> bool:
        """Forget what need not be known any more; returns whether there is more."""

    def size(self) -> int:
        """What is kept, in bytes."""

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        """Keep the events, all or none; with ``sync``, on the disk."""

    def sync(self) -> None:
        """Wait until everything that was kept is on the disk."""


class CommitQueue:
    """Holds decisions back until the journal has their events.

    Where it cannot be written (the disk is full), nothing is told or sent that
    a restart would know nothing of; all waits, in order, and one commit keeps
    the whole of it once there is room.

    Two of a decision's effects wait for more, the disk: what lets a consumer
    forget an outcome (``Confirm``), and what lets a source forget a job. Every
    outcome that comes within ``SYNC_S`` shares one sync. A fetched job is synced
    at once: nobody else has it.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: list[Decision] = []
        self._unsynced: list[Decision] = []
        self._synced: list[Decision] = []
        self._sync_at: float | None = None
        self.error: str | None = None
        self.retry_at: float | None = None
        self._locked_since: float | None = None
        self._last_failure: str | None = None
        self.commit_s = Histogram()

    def __bool__(self) -> bool:
        return bool(self._waiting) or self._sync_at is not None

    @property
    def has_kept_all(self) -> bool:
        """Whether everything that was decided is in the journal."""
        return not self._waiting

    @property
    def not_kept(self) -> str | None:
        """Why something that was decided is not in the journal; None if all is.

        Unlike ``error``, it tells of a lock from its first moment.
        """
        return self.error or (self._last_failure if self._waiting else None)

    @property
    def next_tick(self) -> float | None:
        """When there is something to write, in monotonic seconds."""
        return self._sync_at if self.retry_at is None else self.retry_at

    def put(self, decision: Decision) -> None:
        """Add a decision behind those that wait."""
        if decision.events or decision.sends or decision.lost or decision.pages:
            self._waiting.append(decision)

    def failed(self, error: JournalError, now: float) -> None:
        """Note that the journal cannot be written, or read; it is tried again."""
        self._last_failure = str(error)
        if isinstance(error, JournalLockedError):
            if self._locked_since is None:
                self._locked_since = now
            if now < self._locked_since + LOCKED_S:
                self.retry_at = now + SOON_S
                return
        self.error, self.retry_at = str(error), now + AGAIN_S

    def release(self, now: float) -> list[Decision]:
        """Commit what waits; returns what may now be told and sent, in order.

        Its confirmations and the ends of its jobs are returned once more, by
        `take_synced`: until then they are nobody's business.
        """
        if self.retry_at is not None and now < self.retry_at:
            return []
        due = self._sync_at is not None and now >= self._sync_at
        if not (self._waiting or due or self.retry_at is not None):
            return []
        events = [event for each in self._waiting for event in each.events]
        urgent = not _CAN_WAIT.issuperset(map(type, events))
        try:
            self._keep(events, sync=urgent or due)
        except JournalError as error:
            self.failed(error, now)
            return []
        self.error = self.retry_at = None
        self._locked_since = self._last_failure = None
        released, self._waiting = self._waiting, []
        self._unsynced += filter(_waits_for_sync, released)
        if urgent or due or not self._keeper.durable:
            self._synced += self._unsynced
            self._unsynced, self._sync_at = [], None
        elif self._sync_at is None and self._unsynced:
            self._sync_at = now + SYNC_S
        return released

    def take_synced(self) -> list[Decision]:
        """Those whose events have come to the disk since the last call, in order."""
        synced, self._synced = self._synced, []
        return synced

    def _keep(self, events: list[JobEvent], *, sync: bool) -> None:
        began = time.perf_counter()
        if events:
            self._keeper.commit(events, sync=sync)
            self.commit_s.observe(time.perf_counter() - began)
        elif sync:
            self._keeper.sync()


def _waits_for_sync(decision: Decision) -> bool:
    ends = not _ENDS.isdisjoint(map(type, decision.events))
    return ends or any(type(each) is Confirm for each in decision.sends)


_ENDS = frozenset((JobDone, JobFailed, JobQuarantined, OutcomeIgnored))
#: A lease that is forgotten with its machine is given anew, and so is a job whose
#: outcome is: its processor has it still, until it is confirmed. A route is found
#: once more.
_CAN_WAIT = _ENDS | {JobLeased, JobReturned, JobRouted}

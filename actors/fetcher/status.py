"""Why a stage does not move, in one word; and when two that wait are a stall.

The first reason that holds is told, in the order in which a person would have
to remove them: a pause hides all that is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.demand.polling import PollState, may_take
from actors.status.reasons import FetcherSituation, fetcher_waits_for

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.demand.producer import Producer
    from actors.fetcher.commit_queue import CommitQueue
    from actors.fetcher.poll_worker import PollWorker
    from actors.journal.journal import Journal
    from actors.journal.quota import Quota
    from actors.status.counters import Tally
    from actors.status.model import FetcherAnswer


#: Jobs and demand that wait together for this many seconds are a stall.
STALLED_AFTER_S = 5.0

#: A stall that goes on is told again after this many seconds.
TOLD_AGAIN_S = 60.0


class StallWatch:
    """Notices that jobs and demand wait beside one another.

    For a moment they always may; a stall is when nothing comes of it.
    """

    def __init__(self) -> None:
        self._moved = 0
        self._since: float | None = None
        self._tell_at: float | None = None

    @property
    def next_tick(self) -> float | None:
        """When to look again, in monotonic seconds."""
        return self._tell_at

    def look(self, now: float, *, both_wait: bool, moved: int) -> float | None:
        """Note what is.

        Args:
            now: Monotonic seconds.
            both_wait: Jobs and demand are there.
            moved: Jobs ever sent: where one was since, all is slow but well.

        Returns:
            For how many seconds it stalls, if that is to be told now.
        """
        if not both_wait or moved != self._moved:
            self._moved = moved
            self._since = self._tell_at = None
            return None
        if self._since is None or self._tell_at is None:
            self._since, self._tell_at = now, now + STALLED_AFTER_S
        if now < self._tell_at:
            return None
        self._tell_at = now + TOLD_AGAIN_S
        return now - self._since


@dataclass(slots=True)
class FetcherStatus:
    """Looks at a fetcher's parts; changes none of them.

    Attributes:
        routed: Whether a job may be for one processor and for no other.
        on_demand: Whether no more is fetched than what was asked for.
        kinds: With broadcast, the kinds of processors that get a copy of each job.
        quota: How large the journal may become; None for any size.
    """

    name: str
    producer: Producer
    source: PollWorker
    commit_queue: CommitQueue
    tally: Tally
    routed: bool = False
    on_demand: bool = False
    kinds: frozenset[str] = frozenset()
    quota: Quota | None = None
    draining: bool = False
    _stalls: StallWatch = field(default_factory=StallWatch)

    @property
    def room(self) -> int:
        """How many jobs can be kept."""
        kept_out = self.commit_queue.error or self.is_journal_full
        return 0 if kept_out else self.producer.store.room

    @property
    def is_journal_full(self) -> bool:
        """Whether the journal has the size that it may have."""
        return self.quota is not None and self.quota.is_reached

    @property
    def may_take(self) -> int:
        """How many jobs to fetch now."""
        return self.may_take_of(self.room)

    def may_take_of(self, room: int) -> int:
        """How many jobs to fetch now, where so many can be kept."""
        return may_take(
            room=room,
            demand=self.producer.lacking(self.kinds),
            waiting=0,
            on_demand=self.on_demand,
        )

    @property
    def next_tick(self) -> float | None:
        """When a stall would be told, in monotonic seconds."""
        return self._stalls.next_tick

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``draining``, or ``faulted`` by its source."""
        if self.draining:
            return "draining"
        poller = self.source.poller
        if poller.paused:
            return "paused"
        return "faulted" if poller.state is PollState.FAULTED else "running"

    def waiting_for(self, now: float) -> str:
        """The reason, in a word."""
        poller = self.source.poller
        return fetcher_waits_for(
            FetcherSituation(
                draining=self.draining,
                paused=poller.paused,
                room=self.room,
                unasked=not self.may_take,
                backing_off=poller.failing,
                throttled=poller.state is PollState.THROTTLED,
                buffered=self.producer.store.waiting,
                unrouted=self.producer.store.unrouted_count,
                held=not self.producer.gate_open,
                limited=self.producer.limited_until(now) is not None,
            )
        )

    def _throttled_s(self, now: float) -> float | None:
        poller = self.source.poller
        throttled = poller.state is PollState.THROTTLED
        return _until(now, poller.next_poll) if throttled else None

    def tell_if_stalled(self, now: float, log: FilteringBoundLogger) -> None:
        """Log it where jobs and demand wait beside one another for long."""
        jobs, demand = self.producer.store.waiting, self.producer.demand
        unsent = self.commit_queue.error is not None
        # A route or a limit may keep jobs and demand apart for good reason.
        free = not self.routed and not self.producer.is_limited
        both_wait = ((jobs > 0 and demand > 0 and free) or unsent) and not self.draining
        since_s = self._stalls.look(
            now, both_wait=both_wait, moved=self.tally.dispatched
        )
        if since_s is not None:
            log.warning(
                "stage.stalled",
                stage=self.name,
                reason=self.waiting_for(now),
                buffered=jobs,
                demand=demand,
                since_s=round(since_s, 1),
                error=self.commit_queue.error,
            )

    def _next_poll_s(self, now: float) -> float | None:
        poller = self.source.poller
        left_s = _until(now, poller.next_poll)
        # What is due waits for room, for demand, or for a person: nobody knows.
        return left_s if left_s or (self.may_take and not poller.paused) else None

    def status(self, now: float, pid: int) -> FetcherAnswer:
        """This fetcher's part of ``status --json``."""
        store, poller = self.producer.store, self.source.poller
        accounting, states = store.accounting(), self.source.states
        commits = self.commit_queue.commit_s.as_dict()
        return {
            "pid": pid,
            "state": self.state,
            "waiting_for": self.waiting_for(now),
            "buffered": accounting.buffered,
            "demand": self.producer.demand,
            "fetching": poller.state is PollState.FETCHING,
            "fetching_s": _rounded(self.source.running_s(now)),
            "fetch_may_take_s": poller.policy.may_take_s,
            "last_poll_age_s": _ago(now, poller.last_poll),
            "next_poll_s": self._next_poll_s(now),
            "oldest_job_age_s": _ago(now, store.oldest_fetched_at),
            "every_s": poller.policy.every_s,
            "on_demand": self.on_demand,
            "capacity": store.buffer.size,
            "buffered_bytes": store.buffer.bytes,
            "capacity_bytes": store.buffer.most_bytes,
            "in_flight_bytes": sum(
                each.held_bytes for each in self.producer.subscriptions
            ),
            "backlog": store.backlog,
            "low_water": store.buffer.low_water,
            "kinds": self.producer.kinds,
            "rate_next_s": _until(now, self.producer.limited_until(now)),
            "unrouted": store.unrouted_count,
            "in_flight": accounting.in_flight,
            "retrying": accounting.retrying,
            "quarantined": accounting.quarantined,
            "quarantined_bytes": store.quarantine.size,
            "quarantine_full": store.is_quarantine_full,
            "journal_full": self.is_journal_full,
            "last_error": self.source.last_error,
            "throttled_s": self._throttled_s(now),
            "throttled_by": self.source.throttled_by,
            "unknown_outcomes": self.source.unknown_outcomes,
            "state_age_s": states.age_s(now) if states else None,
            "state_bytes": len(states.kept.text) if states else None,
            "tally": {**self.tally.as_dict(), "commit_s": commits},
            "journal_error": self.commit_queue.error,
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _ago(now: float, then: float | None) -> float | None:
    return None if then is None else round(max(0.0, now - then), 3)


def _until(now: float, then: float | None) -> float | None:
    return None if then is None else round(max(0.0, then - now), 3)


def look_at_size(
    quota: Quota, journal: Journal, log: FilteringBoundLogger, now: float
) -> None:
    """Look at the journal's size, if there is a limit and it is time.

    Raises:
        JournalError: It cannot be read.
    """
    if not quota.is_due(now):
        return
    before = quota.is_reached
    quota.saw(journal.size(), now)
    if quota.is_reached and not before:
        log.error("journal.full", most_bytes=quota.most_bytes)
    elif before and not quota.is_reached:
        log.info("journal.has_room")

"""What a fetcher says of itself: why it waits, whether it stalls, its status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.demand.polling import PollState, may_take
from actors.journal.quota import Quota
from actors.status.reasons import FetcherSituation, StallWatch, fetcher_waits_for

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.demand.producer import Producer
    from actors.fetcher.commit_queue import CommitQueue
    from actors.fetcher.source import Source
    from actors.status.counters import Tally
    from actors.status.model import FetcherAnswer


@dataclass(slots=True)
class Standing:
    """Looks at a fetcher's parts; changes none of them.

    Attributes:
        routed: Whether a job may be for one processor and for no other.
        on_demand: Whether no more is fetched than what was asked for.
        quota: Whether the journal may grow.
    """

    name: str
    producer: Producer
    source: Source
    commit_queue: CommitQueue
    tally: Tally
    routed: bool = False
    on_demand: bool = False
    quota: Quota = field(default_factory=Quota)
    draining: bool = False
    _stalls: StallWatch = field(default_factory=StallWatch)

    @property
    def room(self) -> int:
        """How many jobs can be kept."""
        kept_out = self.commit_queue.error or self.quota.is_reached
        return 0 if kept_out else self.producer.store.room

    @property
    def may_take(self) -> int:
        """How many jobs to fetch now."""
        return may_take(
            room=self.room,
            demand=self.producer.demand,
            waiting=self.producer.store.waiting + self.producer.store.unrouted_count,
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
            "next_poll_s": _until(now, poller.next_poll),
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
            "journal_full": self.quota.is_reached,
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

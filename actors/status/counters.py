"""What a fetcher has seen since it was started, counted for metrics.

Unlike the account, which is of all runs and kept in the journal, a tally starts
at nothing with its process: that is what a Prometheus counter may do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from functools import partial
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReturned,
    OutcomeIgnored,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from actors.status.model import HistogramCounts, Tallied

#: How a poll ends.
POLLED = ("item", "empty", "error", "throttled")
#: Why a poll that is due is not made.
SKIPPED = ("no_demand", "buffer_full", "paused")
#: How an attempt or a job ends.
FINISHED = ("ok", "failed", "quarantined", "discarded")
#: Why a job is sent again.
REDELIVERED = ("exit", "lease", "nack", "not_begun", "recovered")

#: Upper bounds in seconds: from a job that costs nothing to one of an hour.
BUCKETS_S = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)


#: What a metric calls the reasons why a job is ready again.
_REASONS = {"lease ended": "lease", NOT_BEGUN: "not_begun"}

_place = partial(bisect_left, BUCKETS_S)


class Histogram:
    """How often a time fell under each of ``BUCKETS_S``."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one time; before 0 is 0."""
        self.observe_all((seconds,))

    def observe_all(self, times: Sequence[float]) -> None:
        """Count several times; before 0 is 0."""
        if not times:
            return
        if min(times) < 0:
            times = [max(each, 0.0) for each in times]
        # Those that come together mostly belong together: one look for all.
        low, high = _place(min(times)), _place(max(times))
        if low == high:
            self._counts[low] += len(times)
        else:
            for place in map(_place, times):
                self._counts[place] += 1
        self._sum_s += sum(times)

    def as_dict(self) -> HistogramCounts:
        """``counts``: cumulative, the last one is of all; and their ``sum_s``."""
        return {
            "counts": list(accumulate(self._counts)),
            "sum_s": round(self._sum_s, 6),
        }


class Tally:
    """Counts polls, events and times."""

    def __init__(self) -> None:
        # All at nothing from the start: of a count that first appears at 1,
        # Prometheus does not see that it has grown.
        self._polls = Counter(dict.fromkeys(POLLED, 0))
        self._skipped = Counter(dict.fromkeys(SKIPPED, 0))
        self._finished = Counter(dict.fromkeys(FINISHED, 0))
        self._redelivered = Counter(dict.fromkeys(REDELIVERED, 0))
        self._counts: Counter[str] = Counter(
            fetched=0, dispatched=0, stale=0, duplicates=0
        )
        self._poll_s = Histogram()
        self._job_s = Histogram()
        self._wait_s = Histogram()
        self._skip: tuple[str, float] | None = None

    @property
    def dispatched(self) -> int:
        """Jobs sent to processors, repeated ones too."""
        return self._counts["dispatched"]

    def polled(self, outcome: str, count: int, duration_s: float) -> None:
        """Count a poll: how it ended, how many jobs it brought, how long it took."""
        self._polls["item" if count and outcome != "error" else outcome] += 1
        self._poll_s.observe(duration_s)

    def skipped(self, reason: str, due_at: float) -> None:
        """Count a poll that was due and not made; each due time counts once."""
        if self._skip != (reason, due_at):
            self._skip = (reason, due_at)
            self._skipped[reason] += 1

    def duplicate(self) -> None:
        """Count a job that the source sent again."""
        self._counts["duplicates"] += 1

    def recovered(self, count: int) -> None:
        """Count jobs that an earlier run had leased."""
        self._redelivered["recovered"] += count

    def note(self, events: Iterable[JobEvent], now: float) -> None:
        """Count what happened to jobs."""
        for event_type, alike in groupby(events, type):
            several: list[Any] = list(alike)
            if event_type is JobFetched:
                self._counts["fetched"] += len(several)
            elif event_type is JobLeased:
                self._counts["dispatched"] += len(several)
                jobs = (event.job for event in several)
                waited = [now - job.fetched_at for job in jobs if job.attempt == 1]
                self._wait_s.observe_all(waited)
            elif event_type is JobDone:
                self._finished["ok"] += len(several)
                self._job_s.observe_all([event.duration_s for event in several])
            else:
                for event in several:
                    self._note_trouble(event)

    def _note_trouble(self, event: JobEvent) -> None:
        match event:
            case JobFailed():
                self._finished["failed"] += 1
                self._redelivered["nack"] += 1
            case JobQuarantined():
                self._finished["quarantined"] += 1
            case JobDropped():
                self._finished["discarded"] += 1
            case JobReturned():
                reason = _REASONS.get(event.reason, "exit")
                self._redelivered[reason] += 1
            case OutcomeIgnored():
                self._counts["stale"] += 1
            case _:
                return

    def as_dict(self) -> Tallied:
        """All counts, as ``status --json`` has them."""
        return {
            "fetched": self._counts["fetched"],
            "dispatched": self._counts["dispatched"],
            "stale": self._counts["stale"],
            "duplicates": self._counts["duplicates"],
            "polls": dict(self._polls),
            "skipped": dict(self._skipped),
            "finished": dict(self._finished),
            "redelivered": dict(self._redelivered),
            "poll_s": self._poll_s.as_dict(),
            "job_s": self._job_s.as_dict(),
            "wait_s": self._wait_s.as_dict(),
        }

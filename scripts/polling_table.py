"""A simulated week of polling: requests made, and how soon a job is picked up.

Jobs come at random, independently of each other (a Poisson process), to a source
that answers within `ANSWER_S`. The fetcher's own `Poller` says when to ask; time
is a number, so a week takes a second. There is always room and demand.
"""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.demand.polling import Poller, PollPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

WEEK_S = 7 * 24 * 3600.0
JOBS_AN_HOUR = 100
#: There and back.
ANSWER_S = 0.01
SEED = 1

POLICIES = {
    "fixed: `every_s = 2`": PollPolicy(every_s=2.0),
    "idle back-off: `idle_cap_s = 10`": PollPolicy(every_s=2.0, idle_cap_s=10.0),
    "idle back-off: `idle_cap_s = 30`": PollPolicy(every_s=2.0, idle_cap_s=30.0),
    "long polling: `wait_s = 20`": PollPolicy(every_s=2.0, wait_s=20.0),
    "long polling: `wait_s = 55`": PollPolicy(every_s=2.0, wait_s=55.0),
}


@dataclass(slots=True)
class Week:
    """What it came to: requests, and for each job its delay in seconds."""

    requests: int = 0
    delays: list[float] = field(default_factory=list)


class Source:
    """Hands out each job once, and holds a request open if it may."""

    def __init__(self, arrivals: list[float], wait_s: float) -> None:
        self._arrivals = arrivals
        self._wait_s = wait_s
        self._next = 0

    def ask(self, now: float) -> tuple[float, float | None]:
        """Answer a request of ``now``: when, and when its job had come, if any."""
        arrives = now + ANSWER_S / 2
        left = self._arrivals[self._next : self._next + 1]
        comes = left[0] if left else math.inf
        if comes > arrives + self._wait_s:
            return arrives + self._wait_s + ANSWER_S / 2, None
        self._next += 1
        return max(arrives, comes) + ANSWER_S / 2, comes


def arrivals(seed: int) -> list[float]:
    """When the jobs of a week come, in seconds from its beginning."""
    rng = random.Random(seed)
    times, now = [], 0.0
    while (now := now + rng.expovariate(JOBS_AN_HOUR / 3600)) < WEEK_S:
        times.append(now)
    return times


def simulate(policy: PollPolicy, seed: int) -> Week:
    """Poll for a week."""
    week, chance = Week(), random.Random(seed)
    source = Source(arrivals(seed), policy.wait_s or 0.0)
    poller = Poller(policy)
    poller.start(0.0)
    while poller.next_poll is not None and (now := poller.next_poll) < WEEK_S:
        poller.fetching(now)
        jobs = 0
        while True:
            asked = now
            now, came = source.ask(asked)
            week.requests += 1
            if came is None:
                break
            jobs += 1
            week.delays.append(now - came)
        poller.empty(now, chance.random(), jobs=jobs, took_s=now - asked)
    return week


def table(policies: Iterable[tuple[str, PollPolicy]] = POLICIES.items()) -> str:
    """The table, in Markdown."""
    lines = [
        "| polling | requests | for each job | delay, median | delay, 95 % |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, policy in policies:
        week = simulate(policy, SEED)
        median, late = statistics.median(week.delays), percentile(week.delays, 95)
        a_job = week.requests / len(week.delays)
        lines.append(
            f"| {name} | {week.requests:,} | {a_job:.1f} | {median:.2f} s "
            f"| {late:.2f} s |"
        )
    return "\n".join(lines)


def percentile(values: list[float], share: int) -> float:
    """The value that ``share`` percent of them do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


if __name__ == "__main__":
    print(table())

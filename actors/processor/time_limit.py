"""Which runs take too long, and when to look: rules only.

A run that is over its time is asked to end, where that can be done without its
process. One that does not end in `CANCEL_S` can be ended with its process only. For
one that tells how far it is, the time begins anew whenever it says something new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.demand.job import CALLED_OFF, Failure
from actors.processor.progress import in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.demand.messages import Outcome
    from actors.processor.process_call import Ended, JobRun

#: How long a job that was asked to end may take to do so, in seconds.
CANCEL_S = 2.0

#: And one that a person has cancelled: a thread has to come to look.
CALL_OFF_S = 5.0


class TimeLimit:
    """Watches the runs of one processor.

    Jobs that run in one call have one run together, and are judged together: the
    first one's ticket stands for it.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._over: dict[int, Failure] = {}
        self._asked: dict[int, float] = {}

    def failure_of(self, ticket: int) -> Failure:
        """What a run comes to that took too long, or was called off."""
        return self._over[ticket]

    def next_at(self, runs: Mapping[int, JobRun], now: float) -> float | None:
        """When a run may be over its time, or has been asked for long enough."""
        times = list(self._asked.values())
        if self._limit_s is not None:
            # What was taken and is not noted yet begins now at the earliest.
            noted = [*runs.items()]
            alive = [run.alive_at for key, run in noted if key not in self._over]
            times.append(min(alive, default=now) + self._limit_s)
        return min(times, default=None)

    def over(self, runs: Mapping[int, JobRun], now: float) -> list[tuple[int, ...]]:
        """Find the runs that are over their time since the last call."""
        if self._limit_s is None:
            return []
        found: dict[int, list[int]] = {}
        for ticket, run in [*runs.items()]:
            if ticket not in self._over and now >= run.alive_at + self._limit_s:
                self._over[ticket] = self._too_long(run)
                found.setdefault(id(run), []).append(ticket)
        for tickets in found.values():
            self._asked[tickets[0]] = now + CANCEL_S
        return [tuple(each) for each in found.values()]

    def _too_long(self, run: JobRun) -> Failure:
        if run.told is None:
            what = f"took longer than {self._limit_s:g} s"
        else:
            what = f"told nothing new for {self._limit_s:g} s, at {in_words(run.told)}"
        return Failure(f"JobTimeoutError: {what}")

    def call_off(self, ticket: int, now: float) -> bool:
        """Give a run that nobody wants its time to end; returns whether that is new."""
        if ticket in self._over:
            return False
        self._over[ticket], self._asked[ticket] = CALLED_OFF, now + CALL_OFF_S
        return True

    def stubborn(self, now: float) -> list[int]:
        """Those that have not ended, though they were asked long enough ago."""
        return [ticket for ticket, until in self._asked.items() if now >= until]

    def excuse(self, ticket: int, now: float) -> None:
        """Wait once more: another job keeps it from ending."""
        self._asked[ticket] = now + CANCEL_S

    def judged(self, ended: Ended) -> Outcome:
        """What a run that has ended comes to: one that was stopped took too long."""
        outcome, failure = ended.outcome, ended.outcome.failure
        self._asked.pop(ended.ticket, None)
        why = self._over.pop(ended.ticket, None)
        if why is None or failure is None:
            return outcome
        return outcome._replace(failure=why._replace(trace=failure.trace))

"""Decisions on their way out: kept in the journal first, then told and sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from actors.flow.tally import Histogram
from actors.runtime.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.flow.facts import Fact, Job, JobState
    from actors.flow.messages import JobId
    from actors.flow.producer import Decision
    from actors.runtime.journal import TakenUp

#: How often a journal that failed is tried again, in seconds.
AGAIN_S = 1.0


class Keeper(Protocol):
    """What a fetcher keeps its jobs in; see ``Journal`` for what each does."""

    durable: bool

    def close(self) -> None:
        """Let go of the file."""

    def take_up(self) -> TakenUp:
        """Make ready again what an earlier run had leased, and count everything."""

    def load(self, state: JobState, after: int, limit: int) -> list[Job]:
        """Jobs in a state, in the order of fetching, from after a key on."""

    def quarantined(self, keys: Iterable[int]) -> list[Job]:
        """The quarantined jobs among these keys."""

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before."""

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not."""

    def commit(self, facts: Iterable[Fact]) -> None:
        """Keep the facts, all or none."""


class Outbox:
    """Holds decisions back until the journal has their facts.

    Where it cannot be written (the disk is full), nothing is told or sent that
    a restart would know nothing of; all waits, in order, and one commit keeps
    the whole of it once there is room.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: list[Decision] = []
        self.error: str | None = None
        self.retry_at: float | None = None
        self.commit_s = Histogram()

    def put(self, decision: Decision) -> None:
        """Add a decision behind those that wait."""
        if decision.facts or decision.sends or decision.lost:
            self._waiting.append(decision)

    def release(self, now: float) -> list[Decision]:
        """Commit what waits; returns what may now be told and sent, in order."""
        if not self._waiting or (self.retry_at is not None and now < self.retry_at):
            return []
        facts = [fact for each in self._waiting for fact in each.facts]
        if facts:
            began = time.perf_counter()
            try:
                self._keeper.commit(facts)
            except JournalError as error:
                self.error, self.retry_at = str(error), now + AGAIN_S
                return []
            self.commit_s.observe(time.perf_counter() - began)
        released, self._waiting = self._waiting, []
        self.error = self.retry_at = None
        return released

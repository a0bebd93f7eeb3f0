"""The journal: what a fetcher keeps its jobs in.

An event is committed before anything that follows from it leaves the fetcher, and
synced to the disk before anybody lets go of a job that relies on it. What is kept is
taken up at the next start, in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.demand.copies import Copy
    from actors.demand.job import Accounting, Job, JobId, JobState
    from actors.demand.job_events import JobEvent
    from actors.demand.source_state import KeptState


class JournalError(Exception):
    """The journal cannot be read or written now; what was to be kept is not."""


class JournalLockedError(JournalError):
    """Somebody else writes to the file; it is free again when they have done so."""


class JournalAwayError(JournalError):
    """Its server does not answer, or takes nothing; that may pass."""


class JournalOtherError(JournalError):
    """It holds other than this process knows; who takes up what there is may go on."""


class Statements(Protocol):
    """What carries out SQL with ``?`` for values: a connection of SQLite's, or ours."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Carry out one statement."""

    def executemany(self, sql: str, rows: Any, /) -> Any:
        """Carry out one statement with each of these values."""

    def close(self) -> None:
        """Let go of what is asked."""


class Keep(NamedTuple):
    """How long ended jobs are kept, and how much they may take.

    Attributes:
        for_s: Seconds after their end.
        most_bytes: Of one fetcher.
    """

    for_s: float
    most_bytes: int


class TakenUp(NamedTuple):
    """What an earlier run left.

    Attributes:
        accounting: Of all runs, without those that wait for a retry.
        next_key: The first that no job has had.
        jobs: Those that were leased, now ready, and those that wait for a retry:
            an outcome may still come for them. The other ready ones are loaded
            in pages.
        quarantined_bytes: What the payloads of those that are set aside come to.
    """

    accounting: Accounting
    next_key: int
    jobs: list[Job]
    quarantined_bytes: int = 0


class Journal(Protocol):
    """What a fetcher keeps its jobs in: a file, PostgreSQL, or memory only.

    The laws, which ``tests/journal/test_laws.py`` holds over every store:

    1. A commit is kept as a whole or not at all, and in order.
    2. What raises ``JournalError`` may be tried again as it was, with more behind it,
       and is kept once: also where an error came after it was kept.
    3. What is synced outlives the machine, with all that was committed before it.
    4. A next run is given every job that has not ended, with its attempts; leased ones
       are ready again. Keys are never given twice.
    5. A source's own id is known from its fetch until ``remember_s`` after its end, and
       as long as it is set aside.
    6. Only one process writes a fetcher's jobs, and only one system has the journal.

    Attributes:
        durable: Whether anything outlives the process.
    """

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
        """The quarantined jobs among these keys, each once."""

    def known(self, ids: Iterable[JobId]) -> set[JobId]:
        """Which of the source's own ids came before."""

    def ended(self, job_id: JobId) -> JobState | None:
        """How a job of the source's own id has ended; None if it has not."""

    def follow_copies(self) -> None:
        """Have ``copies`` answered, and take a job for ended when all of them have."""

    def copies(self, job_id: JobId) -> list[Copy]:
        """The copies that a broadcast made of a job, itself among them."""

    def state(self) -> KeptState:
        """What the source told last."""

    def sent(self) -> list[tuple[float, int]]:
        """What was sent under a rate limit: when, monotonic, and how many jobs."""

    def purge(self) -> bool:
        """Forget what need not be known any more; returns whether there is more."""

    def size(self) -> int:
        """What is kept, in bytes."""

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        """Keep the events, all or none; with ``sync``, on the disk."""

    def sync(self) -> None:
        """Wait until everything that was kept is on the disk."""

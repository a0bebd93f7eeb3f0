"""The bounded buffer: what was fetched and waits for demand, oldest first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
C = TypeVar("C")


class Buffer(Generic[T]):
    """A first-in first-out queue that says how much more should be fetched.

    ``room`` falls to 0 when ``size`` is reached and stays 0 until the low-water
    mark, a quarter below: a poller that is woken for each single free place
    would poll in pieces. Jobs that come back from a processor always fit, since
    refusing them would lose them; they only keep the poller waiting.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        self.low_water = size - max(1, size // 4)
        self._jobs: deque[T] = deque()
        self._full = False

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def room(self) -> int:
        """How many jobs to fetch now."""
        return 0 if self._full else self.size - len(self._jobs)

    @property
    def oldest(self) -> T | None:
        """The job that waits at the front, if any does."""
        return self._jobs[0] if self._jobs else None

    def store(self, jobs: Iterable[T]) -> None:
        """Append jobs, oldest first."""
        self._jobs.extend(jobs)
        self._mark()

    def put_back(self, jobs: Iterable[T]) -> None:
        """Put jobs that were taken before back at the front, oldest first."""
        self._jobs.extendleft(reversed(tuple(jobs)))
        self._mark()

    def take(self, count: int) -> tuple[T, ...]:
        """Remove up to ``count`` jobs from the front."""
        count = min(count, len(self._jobs))
        taken = tuple(self._jobs.popleft() for _ in range(count))
        self._mark()
        return taken

    def pop(self) -> tuple[T]:
        """Remove the job that came last."""
        job = self._jobs.pop()
        self._mark()
        return (job,)

    def pick(self, choose: Callable[[T], C | None], limit: int) -> list[tuple[T, C]]:
        """Remove the jobs that are chosen, wherever they stand.

        Args:
            choose: Asked for each, oldest first; None leaves it where it is.
            limit: Ask no more once so many are chosen.
        """
        picked: list[tuple[T, C]] = []
        passed: list[T] = []
        while self._jobs and len(picked) < limit:
            job = self._jobs.popleft()
            choice = choose(job)
            if choice is None:
                passed.append(job)
            else:
                picked.append((job, choice))
        self._jobs.extendleft(reversed(passed))
        self._mark()
        return picked

    def remove(self, job: T) -> None:
        """Remove one job, wherever it stands.

        Raises:
            ValueError: It is not there.
        """
        self._jobs.remove(job)
        self._mark()

    def _mark(self) -> None:
        if len(self._jobs) >= self.size:
            self._full = True
        elif len(self._jobs) <= self.low_water:
            self._full = False

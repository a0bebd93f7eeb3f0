"""Where jobs wait: the buffer, for demand; the quarantine, for a person."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


T = TypeVar("T")

C = TypeVar("C")

#: What a full buffer is emptied to, of its bytes, before more is fetched.
LOW_WATER = 0.75


def _nothing(_: object) -> int:
    return 0


class Buffer(Generic[T]):
    """A first-in first-out queue that says how much more should be fetched.

    ``room`` falls to 0 when ``size`` jobs, or ``most_bytes`` of them, are reached,
    and stays 0 until the low-water marks, a quarter below: a poller that is woken
    for each single free place would poll in pieces. Jobs that come back from a
    processor always fit, since refusing them would lose them; they only keep the
    poller waiting.

    Args:
        size: Jobs.
        most_bytes: What they may come to; None for any size.
        bytes_of: What one of them takes.
    """

    def __init__(
        self,
        size: int,
        most_bytes: int | None = None,
        bytes_of: Callable[[T], int] = _nothing,
    ) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if most_bytes is not None and most_bytes < 1:
            raise ValueError(f"most_bytes must be at least 1, got {most_bytes}")
        self.size = size
        self.low_water = size - max(1, size // 4)
        self.most_bytes = most_bytes
        self.bytes = 0
        self._bytes_of = bytes_of
        self._jobs: deque[T] = deque()
        self._full = False

    def __iter__(self) -> Iterator[T]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def room(self) -> int:
        """How many jobs to fetch now."""
        return 0 if self._full else self.size - len(self._jobs)

    def is_full_with(self, more: int) -> bool:
        """Whether this many bytes beside it leave no room."""
        return self.most_bytes is not None and self.bytes + more >= self.most_bytes

    @property
    def is_over(self) -> bool:
        """Whether there is more than fits; a single job always does."""
        large = self.most_bytes is not None and self.bytes > self.most_bytes
        return len(self._jobs) > self.size or (large and len(self._jobs) > 1)

    @property
    def is_low(self) -> bool:
        """Whether enough was taken to fetch, or load, more."""
        few = len(self._jobs) <= self.low_water
        return few and (
            self.most_bytes is None or self.bytes <= self.most_bytes * LOW_WATER
        )

    @property
    def oldest(self) -> T | None:
        """The job that waits at the front, if any does."""
        return self._jobs[0] if self._jobs else None

    def store(self, jobs: Iterable[T]) -> None:
        """Append jobs, oldest first."""
        jobs = tuple(jobs)
        self._jobs.extend(jobs)
        self._count(jobs, 1)

    def put_back(self, jobs: Iterable[T]) -> None:
        """Put jobs that were taken before back at the front, oldest first."""
        jobs = tuple(jobs)
        self._jobs.extendleft(reversed(jobs))
        self._count(jobs, 1)

    def take(self, count: int) -> tuple[T, ...]:
        """Remove up to ``count`` jobs from the front."""
        count = min(count, len(self._jobs))
        taken = tuple(self._jobs.popleft() for _ in range(count))
        self._count(taken, -1)
        return taken

    def pop(self) -> tuple[T]:
        """Remove the job that came last."""
        job = self._jobs.pop()
        self._count((job,), -1)
        return (job,)

    def pick(self, choose: Callable[[T], C | None], limit: int) -> list[tuple[T, C]]:
        """Remove the jobs that are chosen, wherever they stand.

        Args:
            choose: Asked for each, oldest first; None leaves it where it is.
            limit: Ask no more once this many are chosen.
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
        self._count([job for job, _ in picked], -1)
        return picked

    def remove(self, job: T) -> None:
        """Remove one job, wherever it stands.

        Raises:
            ValueError: It is not there.
        """
        self._jobs.remove(job)
        self._count((job,), -1)

    def _count(self, jobs: Iterable[T], sign: int) -> None:
        self.bytes += sign * sum(map(self._bytes_of, jobs))
        if self.is_full_with(0) or len(self._jobs) >= self.size:
            self._full = True
        elif self.is_low:
            self._full = False


@dataclass(slots=True)
class Quarantine:
    """One fetcher's.

    Attributes:
        most: Jobs that it may hold; None for any number.
        most_bytes: What their payloads may come to, as JSON; None for any size.
        count: Jobs that it holds.
        size: What their payloads come to, in bytes.
    """

    most: int | None = None
    most_bytes: int | None = None
    count: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it has reached either of them."""
        many = self.most is not None and self.count >= self.most
        large = self.most_bytes is not None and self.size >= self.most_bytes
        return many or large

    def put(self, payload: Any) -> None:
        """A job was set aside."""
        self.count += 1
        self.size += size_of(payload)

    def take(self, payload: Any) -> None:
        """A job has left: it was released or discarded, or is done after all."""
        self.count -= 1
        self.size = max(0, self.size - size_of(payload))


def size_of(payload: Any) -> int:
    """How many bytes a payload takes where it is kept."""
    return len(json.dumps(payload))

"""A source that hands out what the test gave it, and knows what it handed out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Source:
    """Counts what a fetcher's ``fetch`` hands out.

    Attributes:
        emptied: How often it said that it has none now.
        handed_out: The jobs that it gave, oldest first.
    """

    def __init__(self, fetch: Callable[..., Any] | None = None) -> None:
        self.emptied = 0
        self.handed_out: list[Any] = []
        self._fetch = fetch or self._pop
        self._scripted = fetch is None
        self._waiting: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __call__(self, **options: Any) -> Any:
        """What the fetcher calls."""
        job = self._fetch(**options)
        if job is None:
            self.emptied += 1
        else:
            self.handed_out.append(job)
        return job

    def push(self, jobs: Iterable[Any]) -> None:
        """Add jobs; an exception among them is raised where its turn comes.

        Raises:
            ValueError: It is one job instead of several, or this source runs a
                function of the user's.
        """
        if not self._scripted:
            raise ValueError("push is for a pipeline without a fetch of its own")
        if isinstance(jobs, dict | str):
            raise ValueError(f"push takes a list of jobs, got the one job {jobs!r}")
        self._waiting.extend(jobs)

    def _pop(self, **_: Any) -> Any:
        if not self._waiting:
            return None
        job = self._waiting.popleft()
        if isinstance(job, BaseException):
            raise job
        return job

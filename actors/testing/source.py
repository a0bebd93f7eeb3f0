"""A source that hands out what the test gave it, and knows what it handed out."""

from __future__ import annotations

import contextlib
import inspect
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from actors.user_code.functions import check_kind, given_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Source:
    """Counts what a fetcher's ``fetch`` hands out.

    Attributes:
        emptied: How often it said that it has none now.
        handed_out: The jobs that it gave, oldest first.
    """

    def __init__(self, fetch: Callable[..., Any] | None = None) -> None:
        if fetch is not None:
            check_kind(fetch, "fetch", yields=True)
        self.emptied = 0
        self.handed_out: list[Any] = []
        self._fetch = fetch or self._pop
        if fetch is not None:
            # What a fetcher looks at, to see which parameters it has.
            self.__wrapped__ = fetch
            # As in production, options that it does not take are refused.
            with contextlib.suppress(TypeError, ValueError):
                self.__signature__ = inspect.signature(fetch, follow_wrapped=False)
        self._has_state = "state" in given_to(self._fetch)
        self._scripted = fetch is None
        self._waiting: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __call__(self, **options: Any) -> Any:
        """What the fetcher calls."""
        answer = self._fetch(**options)
        stateful = self._has_state and "state" in options
        if isinstance(answer, Iterator):
            return self._each(answer, stateful=stateful)
        self._note(answer, stateful=stateful)
        if answer is None or (stateful and _says_no_more(answer, options["state"])):
            self.emptied += 1
        return answer

    def _each(self, answers: Iterator[Any], *, stateful: bool) -> Iterator[Any]:
        count = 0
        for answer in answers:
            self._note(answer, stateful=stateful)
            count += 1
            yield answer
        # One with a state that has come to its end has no more.
        if stateful or not count:
            self.emptied += 1

    def _note(self, answer: Any, *, stateful: bool) -> None:
        if not stateful:
            self.handed_out += [answer] * (answer is not None)
        elif isinstance(answer, tuple) and isinstance(answer[0], list):
            self.handed_out += answer[0]

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


def _says_no_more(answer: Any, state: Any) -> bool:
    match answer:
        case ([], _):
            return True
        case (_, told):
            return bool(told == state)
        case _:
            return False

"""Which jobs of a journal are meant: by state, fetcher, time, and an expression."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.demand.job import JobState, word_of
from actors.journal.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actors.journal.view import JournalView


#: The states in which a job has ended.
ENDS = (JobState.DONE.value, JobState.DROPPED.value)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class SelectionError(Exception):
    """It cannot be said which jobs are meant; the text says why."""


def age_of(text: str) -> float:
    """The seconds that are meant by 90, 90s, 30m, 1h, 7d.

    Raises:
        SelectionError: It is none of these.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text, re.ASCII)
    if found is None:
        raise SelectionError(
            f"must be a number of seconds, or 90s, 30m, 1h, 7d, got {text!r}"
        )
    return float(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that are meant.

    Attributes:
        state: Their state; None for each.
        fetcher: Whose; None for all.
        since: When they ended, or were fetched, at the earliest; by the wall clock.
        where: A compiled expression.
        states: The only ones that are meant; empty for all.
    """

    state: str | None = None
    fetcher: str | None = None
    since: float | None = None
    where: Any = None
    states: tuple[str, ...] = ()

    def jobs(self, view: JournalView) -> Iterator[dict[str, Any]]:
        """Those jobs, oldest first: what has not ended, then what has."""
        if self.state not in ENDS:
            since = None if self.since is None else moment(self.since)
            for job in self._meant(view.held(self.state, self.fetcher)):
                if since is None or job["fetched_at"] >= since:
                    yield job
        if self.state in (None, *ENDS) and not self.states:
            for found, _ in self.ended(view):
                yield from self._meant(found)

    def latest(self, view: JournalView, limit: int) -> list[dict[str, Any]]:
        """The last of those that have ended, oldest first; below 0 for all."""
        pages = self.ended(view, last_first=True)
        meant = self._meant(itertools.chain.from_iterable(found for found, _ in pages))
        return [*itertools.islice(meant, limit if limit >= 0 else None)][::-1]

    def ended(
        self, view: JournalView, *, last_first: bool = False, beyond: int | None = None
    ) -> Iterator[tuple[Iterable[dict[str, Any]], int | None]]:
        """Those that have ended, but for what the expression says of them.

        Yields:
            Some of them, and the last end that was looked at for these.
        """
        state, fetcher, since, seq = self.state, self.fetcher, self.since, None
        none = True
        for found, seq in view.ended_pages(
            state, fetcher, since, last_first=last_first, beyond=beyond
        ):
            none = none and not found
            yield found, seq
        if none and state is not None and since is None and beyond is None:
            # Nothing is kept of them; some are known by their ids.
            yield view.held(state, fetcher), None

    def _meant(self, jobs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for job in jobs:
            if self.states and job["state"] not in self.states:
                continue
            if self.is_true_of(job):
                yield job

    def is_true_of(self, job: dict[str, Any]) -> bool:
        """Whether the expression is true of a job.

        Raises:
            SelectionError: It cannot be said, as of the length of a number.
        """
        if self.where is None:
            return True
        from jmespath.exceptions import JMESPathError  # noqa: PLC0415 - see compiled

        try:
            found = _interpreter().visit(self.where.parsed, public(job))
            return _is_true(found)
        except (JMESPathError, RecursionError, TypeError) as error:
            raise SelectionError(
                f"{_WHERE} cannot be said of job {word_of(job['id'])} of "
                f"{job['fetcher']}: {_first_line(error)}"
            ) from None


def public(job: dict[str, Any]) -> dict[str, Any]:
    """Leave out the journal's own numbers of a job, which no verb takes."""
    return {name: it for name, it in job.items() if name not in ("key", "seq")}


def _is_true(found: Any) -> bool:
    # As JMESPath has it, where 0 is true.
    return not (found is None or found is False or found in ("", [], {}))


@functools.cache
def _interpreter() -> Any:
    from jmespath.visitor import TreeInterpreter  # noqa: PLC0415 - see compiled

    class Interpreter(TreeInterpreter):  # type: ignore[misc]
        """One that compares a text with a number as the specification has it."""

        def visit_comparator(self, node: Any, value: Any) -> Any:
            """Say null where the library raises: one is neither below nor above."""
            try:
                return super().visit_comparator(node, value)
            except TypeError:
                return None

    return Interpreter()


#: As the command line has it.
_WHERE = "--where"


def compiled(expression: str) -> Any:
    """The expression, to be searched with.

    Raises:
        SelectionError: It is none.
    """
    import jmespath  # noqa: PLC0415 - most verbs do without

    try:
        return jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, RecursionError) as error:
        raise SelectionError(
            f'{_WHERE} must be a JMESPath expression, as in "payload.amount > `5`", '
            f"got {expression!r}: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

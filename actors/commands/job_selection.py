"""Which jobs of a journal a verb is for: by state, fetcher, time, and an expression.

A verb that takes jobs by the dozen adds `add_arguments` to its parser, reads them with
`Selection.of`, and takes what `Selection.jobs` finds.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.demand.job import JobState
from actors.journal.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.journal.view import JournalView


#: The states in which a job has ended.
ENDS = (JobState.DONE.value, JobState.DROPPED.value)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class SelectionError(Exception):
    """It cannot be said which jobs are meant; the text says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which jobs are meant."""
    states = [each.value for each in JobState]
    parser.add_argument(
        "--state",
        choices=states,
        metavar="STATE",
        help="only jobs that are " + ", ".join(states),
    )
    parser.add_argument("--fetcher", metavar="NAME", help="only jobs of this fetcher")
    parser.add_argument(
        "--since",
        metavar="AGE",
        type=_age,
        help="only jobs that ended, or were fetched, within 90s, 30m, 1h, 7d",
    )
    parser.add_argument(
        "--where",
        metavar="JMESPATH",
        help='only jobs of which this is true, as in "payload.amount > `5`"; show '
        "prints what there is to ask for",
    )


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(
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

    @classmethod
    def of(
        cls, arguments: argparse.Namespace, states: tuple[str, ...] = ()
    ) -> Selection:
        """What a command line says.

        Args:
            arguments: Of a parser with `add_arguments`.
            states: Those that the verb takes, if not all.

        Raises:
            SelectionError: It is for another state, or the expression is none.
        """
        if states and arguments.state not in (None, *states):
            among = " or ".join(states)
            raise SelectionError(f"only jobs that are {among} can be chosen here")
        since = None if arguments.since is None else time.time() - arguments.since
        return cls(
            arguments.state or (states[0] if len(states) == 1 else None),
            arguments.fetcher,
            since,
            _compiled(arguments.where),
            states,
        )

    def jobs(self, view: JournalView) -> Iterator[dict[str, Any]]:
        """Those jobs, oldest first: what has not ended, then what has."""
        if self.state not in ENDS:
            since = None if self.since is None else moment(self.since)
            for job in self._meant(view.held(self.state, self.fetcher)):
                if since is None or job["fetched_at"] >= since:
                    yield job
        if self.state in (None, *ENDS) and not self.states:
            yield from self._meant(self._ended(view))

    def latest(self, view: JournalView, limit: int) -> list[dict[str, Any]]:
        """The last of those that have ended, oldest first; below 0 for all."""
        meant = self._meant(self._ended(view, last_first=True))
        return [*itertools.islice(meant, limit if limit >= 0 else None)][::-1]

    def _ended(
        self, view: JournalView, *, last_first: bool = False
    ) -> Iterator[dict[str, Any]]:
        state, fetcher = self.state, self.fetcher
        found = view.ended(state, fetcher, self.since, last_first=last_first)
        if (first := next(found, None)) is not None:
            yield first
            yield from found
        elif state is not None and self.since is None:
            # Nothing is kept of them; some are known by their ids.
            yield from view.held(state, fetcher)

    def _meant(self, jobs: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for job in jobs:
            if self.states and job["state"] not in self.states:
                continue
            if self.where is None or _is_true(self.where.search(public(job))):
                yield job


def public(job: dict[str, Any]) -> dict[str, Any]:
    """Leave out the journal's own numbers of a job, which no verb takes."""
    return {name: it for name, it in job.items() if name not in ("key", "seq")}


def _is_true(found: Any) -> bool:
    # As JMESPath has it, where 0 is true.
    return not (found is None or found is False or found in ("", [], {}))


def _compiled(expression: str | None) -> Any:
    if expression is None:
        return None
    import jmespath  # noqa: PLC0415 - most verbs do without

    try:
        return jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        [said, *_] = str(error).splitlines()
        raise SelectionError(
            f'--where must be a JMESPath expression, as in "payload.amount > `5`", '
            f"got {expression!r}: {said}"
        ) from None

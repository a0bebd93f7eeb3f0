"""Which jobs of a journal a verb is for: by state, fetcher, time, and an expression.

A verb that takes jobs by the dozen adds `add_arguments` to its parser, reads them with
`selection_of`, and takes what `Selection.jobs` finds.
"""

from __future__ import annotations

import argparse
import time

from actors.demand.job import JobState
from actors.journal.selection import Selection, SelectionError, age_of, compiled


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
    try:
        return age_of(text)
    except SelectionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def selection_of(
    arguments: argparse.Namespace, states: tuple[str, ...] = ()
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
    where = None if arguments.where is None else compiled(arguments.where)
    state = arguments.state or (states[0] if len(states) == 1 else None)
    return Selection(state, arguments.fetcher, since, where, states)

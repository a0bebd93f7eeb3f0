"""``hand-over``: end a system in order, once another one waits to go on."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from actors.commands.control import ANSWER_WITHIN_S, WORK_WITHIN_S, ask_system, in_words
from actors.commands.exit_codes import Exit
from actors.commands.jobs import JobsError, journal_of
from actors.commands.options import add_journal, add_verb
from actors.commands.terminal import complain, say
from actors.host.control_socket import ControlError
from actors.status.commands import AskStatus, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs
    from actors.journal.leadership import Leader, Leadership

#: How long it may take until another one leads, once this one has ended, in seconds.
TAKEN_WITHIN_S = 3.0
#: How often that is looked at, in seconds.
LOOK_S = 0.1


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    text = "drain and stop a running system; one that waits (run --standby) leads then"
    add_journal(add_verb(verbs, "hand-over", hand_over, text))


def hand_over(arguments: Namespace) -> int:
    """Carry out ``hand-over``."""
    from actors.journal.file import JournalDamagedError  # noqa: PLC0415
    from actors.journal.journal import JournalError  # noqa: PLC0415

    # One that waits itself answers that it does, and goes on waiting.
    status = ask_system(arguments, AskStatus(), ANSWER_WITHIN_S)
    if isinstance(status, int):
        return status
    if "fetchers" not in status:
        complain("this is a machine that joined: hand over where its leader runs")
        return Exit.USAGE
    try:
        with contextlib.closing(_leadership(journal_of(arguments))) as looks:
            return _hand_over(arguments, looks)
    except (JobsError, JournalDamagedError) as error:
        complain(str(error))
        return Exit.USAGE
    except (ControlError, JournalError) as error:
        complain(str(error))
        return Exit.FAILURE


def _leadership(journal: str) -> Leadership:
    from actors.journal.postgres_database import is_postgres  # noqa: PLC0415

    if not is_postgres(journal):
        raise JobsError(
            "only a journal in PostgreSQL can be taken over by another system: "
            f"expected one, and it is {journal}. Nothing was stopped"
        )
    from actors.journal.leadership import Leadership  # noqa: PLC0415

    return Leadership(journal)


def _hand_over(arguments: Namespace, looks: Leadership) -> int:
    before = looks.leader()
    if not looks.waiting():
        raise JobsError(
            "no system waits to take over: expected one that was started with "
            "run --standby. Nothing was stopped"
        )
    answer = ask_system(arguments, Stop(), WORK_WITHIN_S)
    if isinstance(answer, int):
        return answer
    if "accounting" in answer:
        say(f"stopped: {in_words(answer['accounting'])}")
    if (leader := _next(looks, before)) is None:
        complain(
            f"nobody has taken over within {TAKEN_WITHIN_S:g} s of its end; all that "
            "is left is in the journal, and goes on with the next that leads"
        )
        return Exit.FAILURE
    say(f"handed over: {leader.place} leads, term {leader.term}")
    return Exit.NOTHING_LEFT


def _next(looks: Leadership, before: Leader) -> Leader | None:
    """Who leads after ``before``, as soon as somebody does; None if nobody does."""
    until: float | None = None
    while True:
        seen = looks.leader()
        if seen.term > before.term:
            return seen
        now = time.monotonic()
        if until is None and seen.left_s <= 0:
            # It has given up its term; until then it ends its processes.
            until = now + TAKEN_WITHIN_S
        elif until is not None and now >= until:
            return None
        time.sleep(LOOK_S)

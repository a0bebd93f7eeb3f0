"""``state``: look at what a fetcher's source told last, set it, or forget it."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.jobs import (
    ANSWER_WITHIN_S,
    JobsError,
    check_fetcher,
    journal_of,
    socket_of,
)
from actors.commands.options import add_journal, add_verb
from actors.commands.terminal import complain, note, say, say_json
from actors.demand.source_state import NO_STATE, StateError, state_text
from actors.host.control_socket import ControlError, NotRunningError
from actors.host.redaction import MASK, masked
from actors.status.commands import RefusedError, SourceState, ask

if TYPE_CHECKING:
    from argparse import Namespace

    from actors.commands.options import Verbs
    from actors.status.commands import SourceStateIs


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    text = "show, set or reset how far a fetcher has read its source"
    parser = add_verb(verbs, "state", _state, text)
    parser.add_argument("action", choices=("show", "set", "reset"))
    parser.add_argument("fetcher", metavar="FETCHER", help="its name")
    parser.add_argument(
        "value", nargs="?", metavar="JSON", help="with set: the state; - reads it"
    )
    parser.add_argument("--json", action="store_true", help="as JSON on one line")
    add_journal(parser)


def _state(arguments: Namespace) -> int:
    from actors.journal.file import JournalDamagedError, JournalInUseError  # noqa: PLC0415
    from actors.journal.journal import JournalError  # noqa: PLC0415

    try:
        text = _wanted(arguments)
        if text is None:
            _show(arguments)
        else:
            _set(arguments, text)
    except (JobsError, StateError, RefusedError) as error:
        return _refused(error)
    except ControlError as error:
        return _refused(error, Exit.FAILURE)
    except (JournalDamagedError, JournalInUseError, JournalError) as error:
        return _refused(error)
    return Exit.NOTHING_LEFT


def _refused(error: Exception, code: Exit = Exit.USAGE) -> int:
    complain(str(error))
    return code


def _wanted(arguments: Namespace) -> str | None:
    if (arguments.action == "set") != (arguments.value is not None):
        takes = "needs a" if arguments.action == "set" else "takes no"
        raise JobsError(f"state {arguments.action} {takes} state as JSON")
    if arguments.action != "set":
        return None if arguments.action == "show" else NO_STATE
    value = sys.stdin.read() if arguments.value == "-" else arguments.value
    try:
        text = state_text(json.loads(value))
    except StateError:
        raise
    except (ValueError, RecursionError) as error:
        raise JobsError(f"the state must be JSON: {error}") from None
    if MASK in text:
        raise JobsError(
            f"the state holds {MASK}, which stands for a secret where it is shown"
        )
    return text


def _show(arguments: Namespace) -> None:
    name = arguments.fetcher
    try:
        shown = _ask(arguments, "show")
    except NotRunningError:
        shown = _of_journal(journal_of(arguments), name)
    if arguments.json:
        told = {"fetcher": name, "state": shown["state"], "age_s": shown["age_s"]}
        say_json(told)
    elif shown["age_s"] is None:
        say(f"{name} has no state")
    else:
        say_json(shown["state"], indent=2)
        note(f"{name}: told {shown['age_s']:.0f} s ago")


def _set(arguments: Namespace, text: str) -> None:
    name = arguments.fetcher
    try:
        _ask(arguments, "set", json.loads(text))
    except NotRunningError:
        path = journal_of(arguments)
        _of_journal(path, name)
        from actors.journal.edit import set_state  # noqa: PLC0415

        set_state(path, name, text)
    if arguments.action == "reset":
        say(f"{name} has no state any more")
    else:
        say(f"{name} goes on at the state that was set")


def _ask(arguments: Namespace, action: str, state: Any = None) -> SourceStateIs:
    command = SourceState(fetcher=arguments.fetcher, action=action, state=state)
    return ask(socket_of(arguments), command, ANSWER_WITHIN_S)


def _of_journal(path: str, name: str) -> SourceStateIs:
    from actors.journal.stores import look_into  # noqa: PLC0415

    with contextlib.closing(look_into(path)) as view:
        states = view.states()
    check_fetcher(name, states)
    text, at = states[name]
    age_s = None if at is None else round(max(0.0, time.time() - at), 3)
    return {"state": masked(json.loads(text)), "age_s": age_s}

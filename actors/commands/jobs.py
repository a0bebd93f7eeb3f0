"""``jobs``: look at what the journal holds, and decide about the quarantined."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.options import add_journal, add_verb
from actors.commands.terminal import complain, say, say_json, say_text, table
from actors.demand.job import JobState, word_of
from actors.host.control_socket import ControlError, NotRunningError
from actors.host.redaction import masked, redact
from actors.host.state_dir import SystemFiles, state_dir
from actors.status.commands import AskJournal, DecideJobs, RefusedError, ask

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from actors.commands.options import Verbs
    from actors.journal.view import JournalView

#: How long a running system may take to answer, in seconds.
ANSWER_WITHIN_S = 15.0

#: States in which a job can be retried or discarded, and in which it can be cancelled.
QUARANTINED = (JobState.QUARANTINED.value,)
UNDER_WAY = tuple(e.value for e in (JobState.READY, JobState.LEASED, JobState.RETRYING))

COLUMNS = ("fetcher", "id", "state", "attempt", "fetched_at", "error", "payload")


class JobsError(Exception):
    """The command cannot be carried out; the text says why."""


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "jobs", jobs, "look at jobs, retry, discard or cancel")
    actions = ("list", "show", "retry", "discard", "cancel")
    parser.add_argument("action", choices=actions)
    ids = "as list shows them: 17 is the number, '\"17\"' the text"
    parser.add_argument("ids", nargs="*", metavar="ID", help=ids)
    parser.add_argument(
        "--state",
        choices=[each.value for each in JobState],
        metavar="STATE",
        help="only jobs that are " + ", ".join(each.value for each in JobState),
    )
    parser.add_argument("--fetcher", metavar="NAME", help="only jobs of this fetcher")
    parser.add_argument("--all", action="store_true", help="every quarantined job")
    parser.add_argument(
        "--limit",
        type=int,
        default=100,
        metavar="N",
        help="how many to show (default 100); -1: all",
    )
    parser.add_argument("--json", action="store_true", help="as JSON on one line")
    add_journal(parser)


def jobs(arguments: Namespace) -> int:
    """Carry out ``jobs list``, ``show``, ``retry``, ``discard`` or ``cancel``."""
    from actors.journal.file import JournalDamagedError, JournalInUseError  # noqa: PLC0415

    act = {"list": _list, "show": _show}
    try:
        return act.get(arguments.action, _decide)(arguments)
    except (JobsError, RefusedError, JournalDamagedError, JournalInUseError) as error:
        complain(str(error))
        return Exit.USAGE
    except ControlError as error:
        complain(str(error))
        return Exit.FAILURE


def _list(arguments: Namespace) -> int:
    with _view(arguments) as view:
        rows = view.jobs(arguments.state, arguments.limit, arguments.fetcher)
    if arguments.json:
        say_json([_public(row) for row in rows])
    else:
        say_text(table([_short(row) for row in rows], COLUMNS))
    return Exit.NOTHING_LEFT


def _show(arguments: Namespace) -> int:
    if not arguments.ids:
        raise JobsError("jobs show needs job ids, as list shows them")
    with _view(arguments) as view:
        shown = [
            _public(job) | {"history": view.history(job["fetcher"], job["key"])}
            for job_id in arguments.ids
            for job in _found(view, job_id, arguments.fetcher)
        ]
    say_json(shown, indent=None if arguments.json else 2)
    return Exit.NOTHING_LEFT


def _decide(arguments: Namespace) -> int:
    if arguments.action == "cancel" and (arguments.all or not arguments.ids):
        raise JobsError("jobs cancel needs job ids, as list shows them")
    if bool(arguments.ids) == arguments.all:
        raise JobsError(f"jobs {arguments.action} needs job ids, or --all")
    with _view(arguments) as view:
        chosen = _chosen(view, arguments)
    keys: dict[str, list[int]] = {}
    for job in chosen:
        keys.setdefault(job["fetcher"], []).append(job["key"])
    count = _carry_out(arguments, keys) if keys else 0
    words = {"retry": "released for another attempt", "discard": "discarded"}
    words["cancel"] = "cancelled"
    say(f"{count} {'job' if count == 1 else 'jobs'} {words[arguments.action]}")
    return Exit.NOTHING_LEFT


def _chosen(view: JournalView, arguments: Namespace) -> list[dict[str, Any]]:
    if arguments.all:
        return view.jobs("quarantined", -1, arguments.fetcher)
    chosen = []
    for job_id in arguments.ids:
        found = _found(view, job_id, arguments.fetcher)
        names = sorted({job["fetcher"] for job in found})
        if len(names) > 1:
            there = ", ".join(names)
            raise JobsError(f"job {job_id} is there for {there}: say --fetcher NAME")
        # Of a broadcast there are several of one id.
        wanted, what = QUARANTINED, "not quarantined"
        if arguments.action == "cancel":
            wanted, what = UNDER_WAY, "neither waiting nor running"
        meant = [job for job in found if job["state"] in wanted]
        if not meant:
            raise JobsError(f"job {job_id} is {found[0]['state']}, {what}")
        chosen += meant
    return chosen


def _carry_out(arguments: Namespace, keys: dict[str, list[int]]) -> int:
    command = DecideJobs(action=arguments.action, keys=keys)
    try:
        return ask(socket_of(arguments), command, ANSWER_WITHIN_S)["count"]
    except NotRunningError:
        if arguments.action == "cancel":
            raise JobsError("jobs cancel needs a running system") from None
        from actors.journal.edit import decide  # noqa: PLC0415

        return decide(journal_of(arguments), arguments.action, keys)


def _found(view: JournalView, job_id: str, fetcher: str | None) -> list[dict[str, Any]]:
    found = view.find(job_id, fetcher)
    if not found:
        raise JobsError(f"there is no job {job_id} in the journal")
    return found


def _view(arguments: Namespace) -> contextlib.closing[JournalView]:
    from actors.journal.stores import look_into  # noqa: PLC0415

    return contextlib.closing(look_into(journal_of(arguments)))


def journal_of(arguments: Namespace) -> str:
    """The journal of the system that runs at the port, else the one that is named."""
    from actors.journal.stores import reachable  # noqa: PLC0415

    with contextlib.suppress(NotRunningError):
        answer = ask(socket_of(arguments), AskJournal(), ANSWER_WITHIN_S)
        if answer["journal"] is None:
            raise JobsError("the running system keeps no journal")
        return reachable(str(answer["journal"]), arguments.journal)
    if arguments.journal == "none":
        raise JobsError("--journal must name a file here, got 'none'")
    return str(arguments.journal)


def socket_of(arguments: Namespace) -> Path:
    """Where the system that runs at the port listens."""
    return SystemFiles(state_dir(), int(arguments.port)).socket


def _public(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out the journal's own number of a job, which no verb takes."""
    return {name: value for name, value in row.items() if name != "key"}


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "id": word_of(row["id"]),
        "payload": _cut(redact(json.dumps(masked(row["payload"])))),
        "error": _cut(row["error"]),
    }


def _cut(text: str | None, width: int = 60) -> str | None:
    if text is None or len(text) <= width:
        return text
    return f"{text[: width - 3]}..."

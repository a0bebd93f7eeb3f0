"""``jobs``: look at what the journal holds, and decide about the quarantined."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.job_selection import add_arguments, selection_of
from actors.commands.options import add_journal, add_verb
from actors.commands.terminal import (
    complain,
    say,
    say_json,
    say_text,
    short_time,
    table,
)
from actors.demand.job import JobState, word_of
from actors.host.control_socket import ControlError, NotRunningError
from actors.host.redaction import masked, redact
from actors.host.state_dir import SystemFiles, state_dir
from actors.journal.selection import ENDS, Selection, SelectionError, public
from actors.status.commands import AskJournal, DecideJobs, RefusedError, ask

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from actors.commands.options import Verbs
    from actors.journal.view import JournalView

#: How long a running system may take to answer, in seconds.
ANSWER_WITHIN_S = 15.0

#: States in which a job can be retried or discarded, and in which it can be cancelled.
QUARANTINED = (JobState.QUARANTINED.value,)
UNDER_WAY = tuple(e.value for e in (JobState.READY, JobState.LEASED, JobState.RETRYING))

#: Jobs that are decided about in one command: it is 256 KiB at the most.
AT_ONCE = 10_000

ENDED_COLUMNS = (
    *("fetcher", "id", "state", "attempt", "processor", "ended_at", "duration_s"),
    *("result", "payload"),
)
EXPORTED = (
    *("fetcher", "id", "state", "attempt", "processor", "fetched_at", "ended_at"),
    *("duration_s", "error", "payload", "result"),
)
#: What a spreadsheet takes for the beginning of a formula, behind what it leaves out:
#: at the beginning of a cell, and where one that parts cells otherwise begins the next.
_FORMULA = re.compile(
    r"(?:^|(?<=[;\t]))([\s\0-\x20\u200b\u2060\ufeff]*)([=+\-@\uff1d\uff0b\uff0d\uff20])"
)

COLUMNS = ("fetcher", "id", "state", "attempt", "fetched_at", "error", "payload")


class JobsError(Exception):
    """The command cannot be carried out; the text says why."""


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    text = "list, show, export, retry, discard or cancel jobs"
    parser = add_verb(verbs, "jobs", jobs, text)
    parser.add_argument("action", choices=tuple(_ACTIONS))
    ids = "as list shows them: 17 is the number, '\"17\"' the text; behind -- if one "
    ids += "begins with -"
    parser.add_argument("ids", nargs="*", metavar="ID", help=ids)
    add_arguments(parser)
    parser.add_argument("--all", action="store_true", help="every quarantined job")
    parser.add_argument(
        "--limit",
        type=int,
        default=100,
        metavar="N",
        help="how many to list (default 100); -1: all",
    )
    parser.add_argument(
        "--yes", action="store_true", help="with --where: do it, do not only count"
    )
    parser.add_argument(
        "--csv", action="store_true", help="with export: CSV, not JSON lines"
    )
    parser.add_argument("--json", action="store_true", help="as JSON on one line")
    add_journal(parser)


def jobs(arguments: Namespace) -> int:
    """Carry out ``jobs list``, ``show``, ``retry``, ``cancel`` ..."""
    from actors.journal.file import JournalDamagedError, JournalInUseError  # noqa: PLC0415

    try:
        return _ACTIONS[arguments.action](arguments)
    except (
        *(JobsError, SelectionError, RefusedError),
        *(JournalDamagedError, JournalInUseError),
    ) as error:
        complain(str(error))
        return Exit.USAGE
    except ControlError as error:
        complain(str(error))
        return Exit.FAILURE


def _list(arguments: Namespace) -> int:
    selection = selection_of(arguments)
    with _view(arguments) as view:
        rows = _listed(view, selection, arguments.limit)
    if arguments.json:
        say_json([public(row) for row in rows])
    else:
        columns = ENDED_COLUMNS if selection.state in ENDS else COLUMNS
        say_text(table([_short(row) for row in rows], columns))
    return Exit.NOTHING_LEFT


def _listed(
    view: JournalView, selection: Selection, limit: int
) -> list[dict[str, Any]]:
    if selection.state in ENDS:
        return selection.latest(view, limit)
    # Without a state, those that are still to be done, or decided about.
    held = (each for each in selection.jobs(view) if each["state"] not in ENDS)
    return list(itertools.islice(held, limit if limit >= 0 else None))


def _export(arguments: Namespace) -> int:
    if arguments.csv:
        say_text(_as_csv(EXPORTED))
    with _view(arguments) as view:
        for job in selection_of(arguments).jobs(view):
            if arguments.csv:
                say_text(_as_csv([_as_cell(job.get(name)) for name in EXPORTED]))
            else:
                say_json(public(job))
    return Exit.NOTHING_LEFT


def _as_csv(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _as_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # A line is a job, and no spreadsheet takes it for a formula, behind blanks or
        # written wide either.
        return _FORMULA.sub(r"'\1\2", " ".join(redact(value).splitlines()))
    # In JSON the same sign can be spelt out, but for that of a number.
    return _FORMULA.sub(_spelt_out, _in_json(value))


def _spelt_out(found: re.Match[str]) -> str:
    return f"{found[1]}\\u{ord(found[2]):04x}" if found.start() else found[0]


def _show(arguments: Namespace) -> int:
    if not arguments.ids:
        raise JobsError("jobs show needs job ids, as list shows them")
    with _view(arguments) as view:
        shown = [
            public(job) | {"history": view.history(job["fetcher"], job["key"])}
            for job_id in arguments.ids
            for job in _found(view, job_id, arguments.fetcher)
        ]
    say_json(shown, indent=None if arguments.json else 2)
    return Exit.NOTHING_LEFT


def _decide(arguments: Namespace) -> int:
    if arguments.action == "cancel" and arguments.all:
        raise JobsError("jobs cancel needs job ids, as list shows them, or --where")
    by_name = bool(arguments.ids)
    if by_name + arguments.all + bool(arguments.where) != 1:
        raise JobsError(
            f"jobs {arguments.action} needs one of job ids, --where and --all"
        )
    with _view(arguments) as view:
        chosen = _chosen(view, arguments)
    if arguments.action == "cancel":
        _check_running(arguments)
    if arguments.where and not arguments.yes:
        say(f"{_jobs(len(chosen))} would be {_DECIDED[arguments.action]}; say --yes")
        return Exit.NOTHING_LEFT
    count = sum(_carry_out(arguments, keys) for keys in in_parts(chosen))
    say(f"{_jobs(count)} {_DECIDED[arguments.action]}")
    return Exit.NOTHING_LEFT


def in_parts(jobs: Iterable[dict[str, Any]]) -> Iterator[dict[str, list[int]]]:
    """The keys of jobs by fetcher's name, no more at a time than a command holds."""
    jobs = iter(jobs)
    while part := list(itertools.islice(jobs, AT_ONCE)):
        keys: dict[str, list[int]] = {}
        for job in part:
            keys.setdefault(job["fetcher"], []).append(job["key"])
        yield keys


def _jobs(count: int) -> str:
    return f"{count} {'job' if count == 1 else 'jobs'}"


_DECIDED = {
    "retry": "released for another attempt",
    "discard": "discarded",
    "cancel": "cancelled",
}


def _chosen(view: JournalView, arguments: Namespace) -> list[dict[str, Any]]:
    if not arguments.ids:
        wanted = UNDER_WAY if arguments.action == "cancel" else QUARANTINED
        return list(selection_of(arguments, wanted).jobs(view))
    return [
        job
        for job_id in arguments.ids
        for job in meant_by(view, arguments.action, job_id, arguments.fetcher)
    ]


def meant_by(
    view: JournalView, action: str, job_id: str, fetcher: str | None = None
) -> list[dict[str, Any]]:
    """The jobs of an id, of a broadcast several, that an action may be about.

    Raises:
        JobsError: There is none, or it is not known which is meant.
    """
    found = _found(view, job_id, fetcher)
    names = sorted({job["fetcher"] for job in found})
    if len(names) > 1:
        there = ", ".join(names)
        raise JobsError(f"job {job_id} is there for {there}: say --fetcher NAME")
    wanted, what = QUARANTINED, "not quarantined"
    if action == "cancel":
        wanted, what = UNDER_WAY, "neither waiting nor running"
    meant = [job for job in found if job["state"] in wanted]
    if not meant:
        raise JobsError(f"job {job_id} is {found[0]['state']}, {what}")
    return meant


_NOT_RUNNING = "jobs cancel needs a running system: nothing runs at this port"


def _check_running(arguments: Namespace) -> None:
    try:
        ask(socket_of(arguments), AskJournal(), ANSWER_WITHIN_S)
    except NotRunningError:
        raise JobsError(_NOT_RUNNING) from None


def _carry_out(arguments: Namespace, keys: dict[str, list[int]]) -> int:
    command = DecideJobs(action=arguments.action, keys=keys)
    try:
        return ask(socket_of(arguments), command, ANSWER_WITHIN_S)["count"]
    except NotRunningError:
        if arguments.action == "cancel":
            raise JobsError(_NOT_RUNNING) from None
        from actors.journal.edit import decide  # noqa: PLC0415

        return decide(journal_of(arguments), arguments.action, keys)


def _found(view: JournalView, job_id: str, fetcher: str | None) -> list[dict[str, Any]]:
    found = view.find(job_id, fetcher)
    if not found:
        raise JobsError(f"there is no job {job_id} in the journal")
    return found


@contextlib.contextmanager
def _view(arguments: Namespace) -> Iterator[JournalView]:
    from actors.journal.stores import look_into  # noqa: PLC0415

    with contextlib.closing(look_into(journal_of(arguments))) as view:
        if arguments.fetcher is not None:
            check_fetcher(arguments.fetcher, view.states())
        yield view


def check_fetcher(name: str, known: Iterable[str]) -> None:
    """Check that a journal has a fetcher of this name.

    Raises:
        JobsError: It has not; the text says which there are.
    """
    if name not in known:
        names = ", ".join(known) or "none"
        raise JobsError(f"the journal has no fetcher {name!r}, only: {names}")


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


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "id": word_of(row["id"]),
        "payload": _cut(_in_json(row["payload"])),
        "error": _cut(row["error"]),
        "result": _cut(_in_json(row.get("result"))),
        "duration_s": short_time(row.get("duration_s")),
    }


def _in_json(value: Any) -> str:
    return redact(json.dumps(masked(value), ensure_ascii=False))


def _cut(text: str | None, width: int = 60) -> str | None:
    if text is None or len(text) <= width:
        return text
    return f"{text[: width - 3]}..."


_ACTIONS = {
    "list": _list,
    "show": _show,
    "export": _export,
    "retry": _decide,
    "discard": _decide,
    "cancel": _decide,
}

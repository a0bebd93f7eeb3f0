"""The verbs for a running system: each sends one command, and shows the answer."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from actors.commands.exit_codes import Exit
from actors.commands.options import add_verb
from actors.commands.terminal import (
    complain,
    note,
    progress_in_words,
    say,
    say_text,
    table,
)
from actors.config.option import SECONDS
from actors.host.control_socket import ControlError, NotRunningError
from actors.host.state_dir import SystemFiles, state_dir
from actors.host.texts import plain
from actors.status.commands import (
    AskStatus,
    Attach,
    Detach,
    RefusedError,
    StandbyError,
    Stop,
    Wait,
    ask,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from actors.commands.options import Verbs
    from actors.status.commands import Answer, Command
    from actors.status.model import (
        FetcherStatus,
        MemberStatus,
        StandbyStatus,
        SystemStatus,
    )

    Status: TypeAlias = SystemStatus | MemberStatus

T = TypeVar("T")

#: How long a question may take, in seconds.
ANSWER_WITHIN_S = 5.0
#: How long each processor may take to start on a busy machine, beyond that.
START_WITHIN_S = 0.5
#: How long work may take that waits for jobs to finish, in seconds.
WORK_WITHIN_S = 24 * 3600.0
#: How often a long stop tells what is left, in seconds.
PROGRESS_S = 1.0

#: Moves a terminal's cursor to the top left and clears what is below.
_CLEAR = "\x1b[H\x1b[J"

FETCHER_COLUMNS = (
    "name",
    "pid",
    "state",
    "waiting_for",
    "buffered",
    "demand",
    "last_poll_age_s",
    "next_poll_s",
    "oldest_job_age_s",
    "restarts",
)
PROCESSOR_COLUMNS = (
    "name",
    "pid",
    "host",
    "state",
    "waiting_for",
    "in_flight",
    "demand",
    "done",
    "failed",
    "restarts",
)


def register(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    parser = add_verb(verbs, "status", status, "show what a running system does")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_interval,
        const=1.0,
        metavar="SECONDS",
        help="repeat every SECONDS until Ctrl-C (default 1)",
    )
    parser = add_verb(verbs, "attach", attach, "add processors to a running system")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="FETCHER",
        help="fetchers that were detached, to be started again instead",
    )
    parser.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many (default 1)"
    )
    parser.add_argument(
        "--processor",
        metavar="NAME",
        help="which kind of processor, if there are several",
    )
    parser = add_verb(verbs, "detach", detach, "remove processors, once they finished")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="processors or fetchers, as status shows them",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=1,
        metavar="N",
        help="how many, the last ones first, if none is named (default 1)",
    )
    parser = add_verb(
        verbs,
        "wait",
        wait_for_ends,
        "wait until all jobs are finished that were fetched before now",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="FETCHER",
        help="fetchers to wait for (default: all)",
    )
    parser.add_argument(
        "--within",
        type=_interval,
        metavar="SECONDS",
        help="give up after this many seconds, with exit code 1 (default: a day)",
    )
    parser = add_verb(verbs, "stop", stop, "drain and stop a running system")
    parser.add_argument(
        "--now", action="store_true", help="do not wait for running jobs"
    )


def status(arguments: Namespace) -> int:
    """Show the system's state, once or again and again."""
    try:
        while True:
            answer = ask_system(
                arguments,
                AskStatus(),
                ANSWER_WITHIN_S,
                partial(_show_waiting, arguments),
            )
            if not isinstance(answer, int):
                _show(answer, arguments)
            elif answer != Exit.NOTHING_LEFT:
                return answer
            if arguments.watch is None:
                return Exit.NOTHING_LEFT
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        return Exit.NOTHING_LEFT


def _show(answer: Status, arguments: Namespace) -> None:
    if arguments.json:
        say_text(json.dumps(answer))
    elif arguments.watch is not None and sys.stdout.isatty():
        print(_CLEAR, end="")
        say_text(describe(answer))
    else:
        say_text(describe(answer))


def _show_waiting(arguments: Namespace, waiting: StandbyStatus) -> None:
    say_text(json.dumps(waiting) if arguments.json else waiting["error"])


def attach(arguments: Namespace) -> int:
    """Add processors."""
    command = Attach(
        count=arguments.count,
        processor=arguments.processor or None,
        names=arguments.names or None,
    )
    within_s = ANSWER_WITHIN_S * 4 + START_WITHIN_S * arguments.count
    answer = ask_system(arguments, command, within_s)
    if isinstance(answer, int):
        return answer
    say("attached " + ", ".join(answer["attached"]))
    return Exit.NOTHING_LEFT


def detach(arguments: Namespace) -> int:
    """Let processors finish, then remove them."""
    names = arguments.names or None
    command = Detach(names=names, count=None if names else arguments.count)
    tell = partial(_tell_leaving, frozenset(arguments.names))
    answer = _ask_telling(arguments, command, WORK_WITHIN_S, tell)
    if isinstance(answer, int):
        return answer
    say("detached " + ", ".join(answer["detached"]))
    for each in answer.get("follows", ()):
        say(each)
    return Exit.NOTHING_LEFT


def wait_for_ends(arguments: Namespace) -> int:
    """Wait until every job has ended that was fetched before now."""
    within_s = arguments.within or WORK_WITHIN_S
    command = Wait(names=arguments.names)
    tell = partial(_tell_left, frozenset(arguments.names))
    answer = _ask_telling(arguments, command, within_s, tell)
    if isinstance(answer, int):
        if answer == Exit.FAILURE:
            _tell_progress(arguments, _tell_why)
        return answer
    say(f"All jobs that {_all(answer['passed'])} had fetched are finished.")
    return Exit.NOTHING_LEFT


def stop(arguments: Namespace) -> int:
    """Drain and end the system."""
    command = Stop(now=arguments.now)
    answer = _ask_telling(arguments, command, WORK_WITHIN_S, _tell_why)
    if isinstance(answer, int):
        return answer
    if "left" in answer:  # a machine that joined: the jobs are the leader's
        say(f"stopped: {answer['left']} processors left")
        return Exit.JOBS_LEFT if answer["left"] else Exit.NOTHING_LEFT
    accounting = answer["accounting"]
    say(f"stopped: {in_words(accounting)}")
    left = accounting["buffered"] + accounting["in_flight"] + accounting["retrying"]
    return Exit.JOBS_LEFT if left else Exit.NOTHING_LEFT


def _all(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def in_words(accounting: Mapping[str, object]) -> str:
    """An account on one line."""
    counts = (f"{count} {what}" for what, count in accounting.items())
    return ", ".join(counts).replace("_", " ")


def beside(work: Callable[[], T]) -> Future[T]:
    """Start what may take long; nobody has to wait for it, not even at the end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - whoever asks for the result
            future.set_exception(error)

    Thread(target=run, name="beside", daemon=True).start()
    return future


def _ask_telling(
    arguments: Namespace,
    command: Command[Answer],
    timeout_s: float,
    tell: Callable[[Status], str],
) -> Answer | int:
    """Ask what may take long, and tell each second what it waits for."""
    asked = beside(partial(ask_system, arguments, command, timeout_s))
    while not wait([asked], PROGRESS_S).done:
        _tell_progress(arguments, tell)
    return asked.result()


def _tell_progress(arguments: Namespace, tell: Callable[[Status], str]) -> None:
    socket = SystemFiles(state_dir(), int(arguments.port)).socket
    with contextlib.suppress(ControlError):
        status = ask(socket, AskStatus(), ANSWER_WITHIN_S)
        note(tell(status))


def _tell_why(status: Status) -> str:
    return status["why"]


def _tell_leaving(names: frozenset[str], status: Status) -> str:
    """Say which processors are still to leave, and what is in their hands."""
    leaving = [
        f"{each['name']} ({each.get('in_flight', 0)} in flight)"
        for each in (*status["processors"], *status["fetchers"])
        if each["name"] in names or (not names and each["state"] == "draining")
    ]
    return f"waiting for {', '.join(leaving)}" if leaving else _tell_why(status)


def _tell_left(names: frozenset[str], status: Status) -> str:
    """Say what fetchers still have, later jobs among it."""
    left = [
        f"{each['name']} ({each['buffered']} buffered, {each.get('in_flight', 0)} in "
        f"flight, {each.get('retrying', 0)} retrying)"
        for each in status["fetchers"]
        if not names or each["name"] in names
    ]
    return f"waiting for {', '.join(left)}"


def describe(status: Status) -> str:
    """A system's state, for people."""
    accounting = in_words(status["accounting"])
    return "\n\n".join(
        (
            f"{status['state']}: {accounting}\n{plain(status['why'])}",
            table(status["fetchers"], _fetcher_columns(status["fetchers"])),
            _processor_table(status["processors"]),
        )
    )


def _processor_table(processors: Sequence[Mapping[str, Any]]) -> str:
    # Few jobs say how far they are.
    if not any(each.get("progress") for each in processors):
        return table(processors, PROCESSOR_COLUMNS)
    rows = [{**each, "progress": progress_in_words(each)} for each in processors]
    return table(rows, (*PROCESSOR_COLUMNS, "progress"))


def _fetcher_columns(fetchers: Sequence[FetcherStatus]) -> tuple[str, ...]:
    # Few sources have a state.
    if all(each.get("state_bytes") is None for each in fetchers):
        return FETCHER_COLUMNS
    return (*FETCHER_COLUMNS, "state_age_s")


def ask_system(
    arguments: Namespace,
    command: Command[Answer],
    timeout_s: float,
    waiting: Callable[[StandbyStatus], None] | None = None,
) -> Answer | int:
    """The running system's answer, or the exit code when there is none to use.

    Args:
        arguments: With the system's port.
        command: What to ask.
        timeout_s: How long the answer may take.
        waiting: Called for one that waits to take over, in place of an error.
    """
    files = SystemFiles(state_dir(), int(arguments.port))
    try:
        return ask(files.socket, command, timeout_s)
    except NotRunningError:
        beside = _running_beside(files)
        complain(f"no lowtide system is running at port {arguments.port}{beside}")
        return Exit.NOT_RUNNING
    except ControlError as error:
        if waiting is not None and isinstance(error, StandbyError):
            waiting(error.status)
            return Exit.NOTHING_LEFT
        complain(str(error))
        return Exit.USAGE if isinstance(error, RefusedError) else Exit.FAILURE


def _running_beside(files: SystemFiles) -> str:
    """Which others of this user's run: one may have been meant."""
    names = (each.stem for each in files.directory.glob("*.sock"))
    ports = sorted(int(name) for name in names if name.isdecimal())
    there = []
    for port in ports[:_LOOKED_AT]:
        with contextlib.suppress(ControlError):
            ask(SystemFiles(files.directory, port).socket, AskStatus(), _BESIDE_S)
            there.append(str(port))
    return f"; there is one at {', '.join(there)} (--port)" if there else ""


#: Others that are looked for, where the one that is meant is not there, and how long
#: each may take to answer, in seconds.
_LOOKED_AT, _BESIDE_S = 8, 1.0


def _interval(text: str) -> float:
    try:
        return float(SECONDS.parse(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be {SECONDS.expected}, got {text!r}"
        ) from None

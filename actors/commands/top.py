"""``top``: a live view in the terminal, with keys."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.commands.cancel_prompt import CancelPrompt
from actors.commands.control import (
    ANSWER_WITHIN_S,
    WORK_WITHIN_S,
    ask_system,
    beside,
)
from actors.commands.exit_codes import Exit
from actors.commands.jobs import JobsError, in_parts, meant_by
from actors.commands.options import add_verb
from actors.commands.terminal import complain, note
from actors.host.control_socket import ControlError, NotRunningError
from actors.host.state_dir import SystemFiles, state_dir
from actors.journal.file import JournalDamagedError
from actors.journal.stores import look_into, reachable
from actors.status.commands import (
    AskJournal,
    AskStatus,
    Attach,
    DecideJobs,
    Detach,
    Pause,
    Resume,
    ask,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from actors.commands.options import Verbs
    from actors.commands.top_view import View
    from actors.journal.view import JournalView
    from actors.status.commands import Command

#: How often the status is asked for, in seconds.
EVERY_S = 0.5
#: A system that is not there for this many seconds has ended.
ENDED_S = 3.0
#: How long a status may take, in seconds; keys wait for it.
SHOWN_WITHIN_S = 2.0
#: Quarantined jobs that can be chosen from.
LISTED = 200

_MISSING = (
    "lowtide: top needs rich, which is not installed: pip install 'lowtide[tui]'; "
    "lowtide status --watch works without"
)
#: What the arrow keys send, as the letters that mean the same.
_ARROWS = {"\x1b[A": "k", "\x1b[B": "j"}


def register(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    add_verb(verbs, "top", top, "watch a running system, and act on it with keys")


def top(arguments: Namespace) -> int:
    """Show a system until ``q``, or until it ends."""
    try:
        from rich.live import Live  # noqa: PLC0415 - an extra

        from actors.commands.top_view import View  # noqa: PLC0415 - needs rich
    except ImportError:
        note(_MISSING)
        return Exit.USAGE
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        complain("top needs a terminal; see status --watch")
        return Exit.USAGE
    status = ask_system(arguments, AskStatus(), ANSWER_WITHIN_S)
    if isinstance(status, int):
        return status
    socket = SystemFiles(state_dir(), int(arguments.port)).socket
    if "events" not in status:
        complain("top shows a system at its leader")
        return Exit.USAGE
    view = View(int(arguments.port))
    view.take(status, time.monotonic())
    session = _Session(socket, view)
    with _single_keys(), Live(screen=True, auto_refresh=False) as live:
        while session.go_on:
            session.refresh()
            width, height = live.console.size
            live.update(session.view.draw(width, height), refresh=True)
            session.wait_for_key()
    if session.lost:
        complain(session.lost)
        return Exit.NOT_RUNNING
    return Exit.NOTHING_LEFT


class _Session:
    def __init__(self, socket: Path, view: View) -> None:
        self.view = view
        self.go_on = True
        self.lost = ""
        self._socket = socket
        # A detach may take as long as its job: the view goes on meanwhile.
        self._answer: Future[dict[str, Any]] | None = None
        self._prompt: CancelPrompt | None = None
        self._quarantined = -1
        self._asked_at = 0.0
        self._answered_at = time.monotonic()

    def refresh(self) -> None:
        """Ask for the status, unless it was a moment ago."""
        self._take_answer()
        now = time.monotonic()
        if now - self._asked_at < EVERY_S:
            return
        self._asked_at = now
        try:
            status = ask(self._socket, AskStatus(), SHOWN_WITHIN_S)
            if "events" in status:
                self.view.take(status, now)
        except ControlError as error:
            self._not_answered(error, now)
            return
        self._answered_at = now
        count = self.view.status["accounting"]["quarantined"]
        if count != self._quarantined:
            self._quarantined = count
            self.view.quarantined = _quarantined(self._socket)
            self.view.choose(0)

    def _not_answered(self, error: ControlError, now: float) -> None:
        # A root that died is there again within seconds.
        self.view.trouble = f"the system does not answer: {error}"
        if isinstance(error, NotRunningError) and now - self._answered_at > ENDED_S:
            # In order, it takes its socket away.
            self.lost = _KILLED if self._socket.exists() else "the system has ended"
            self.go_on = False

    def wait_for_key(self) -> None:
        """Carry out the keys that come before the next refresh."""
        fd = sys.stdin.fileno()
        left = max(0.0, EVERY_S - (time.monotonic() - self._asked_at))
        if select.select([fd], [], [], left)[0]:
            typed = os.read(fd, 64).decode(errors="replace")
            if self._prompt is not None and "\x1b" in typed:
                typed = "\x1b"  # what an arrow sends begins with it
            for arrow, letter in _ARROWS.items():
                typed = typed.replace(arrow, letter)
            for key in typed:
                self._press(key)
                if self._prompt is not None and self._prompt.wants_yes:
                    # Nothing that was typed or pasted before is the answer.
                    _forget_typed(fd)
                    break

    def _press(self, key: str) -> None:
        if self._prompt is not None:
            self._answer_with(self._prompt, key)
            return
        job = self.view.chosen_job
        match key:
            case "q" | "\x03" | "\x04":
                self.go_on = False
            case "j" | "k":
                self.view.choose(1 if key == "j" else -1)
            case "p" | "r" | "a" | "d":
                self._do(_COMMANDS[key])
            case "t" | "X" if job is not None:
                action = "retry" if key == "t" else "discard"
                keys = {job["fetcher"]: [job["key"]]}
                self._do(DecideJobs(action=action, keys=keys), action)
            case "c":
                self._prompt = CancelPrompt(partial(_cancellable, self._socket))
                self.view.question = self._prompt.text
            case _:
                self.view.message = ""

    def _answer_with(self, prompt: CancelPrompt, key: str) -> None:
        prompt.press(key)
        self.view.question = prompt.text
        if not prompt.is_over:
            return
        self._prompt, self.view.question = None, ""
        self.view.message = prompt.text
        for keys in in_parts(prompt.meant):
            self._do(DecideJobs(action="cancel", keys=keys), "cancel")

    def _do(self, command: Command[Any], word: str = "") -> None:
        if self._answer is not None:
            self.view.message = "the last key is still at work"
            return
        self.view.message = f"{word or command.verb} ..."
        self._answer = beside(partial(_ask, self._socket, command))
        self._asked_at = 0.0

    def _take_answer(self) -> None:
        if self._answer is not None and self._answer.done():
            answer = self._answer.result()
            self._answer = None
            self.view.message = answer.get("error") or ", ".join(
                f"{word} {_words(what)}" for word, what in answer.items()
            )


_COMMANDS: dict[str, Command[Any]] = {
    "p": Pause(),
    "r": Resume(),
    "a": Attach(),
    "d": Detach(),
}


_KILLED = (
    "the system was killed: start it again, and it goes on with the jobs in its journal"
)


def _ask(socket: Path, command: Command[Any]) -> dict[str, Any]:
    try:
        return dict(ask(socket, command, WORK_WITHIN_S))
    except ControlError as error:
        return {"error": str(error)}


def _words(what: Any) -> str:
    return ", ".join(map(str, what)) if isinstance(what, list) else str(what)


def _quarantined(socket: Path) -> list[dict[str, Any]]:
    try:
        with _journal(socket) as view:
            return view.jobs("quarantined", LISTED)
    except (JobsError, JournalDamagedError):
        return []


def _cancellable(socket: Path, job_id: str) -> list[dict[str, Any]]:
    try:
        with _journal(socket) as view:
            return meant_by(view, "cancel", job_id)
    except JournalDamagedError as error:
        raise JobsError(str(error)) from error


@contextlib.contextmanager
def _journal(socket: Path) -> Iterator[JournalView]:
    answer = _ask(socket, AskJournal())
    if not (journal := answer.get("journal")):
        raise JobsError(answer.get("error") or "the running system keeps no journal")
    known = reachable(journal, os.environ.get("LOWTIDE_JOURNAL"))
    with contextlib.closing(look_into(known)) as view:
        yield view


def _forget_typed(fd: int) -> None:
    import termios  # noqa: PLC0415 - a terminal only

    termios.tcflush(fd, termios.TCIFLUSH)


@contextlib.contextmanager
def _single_keys() -> Iterator[None]:
    """Keys come one by one and unseen; put right again in any case."""
    import termios  # noqa: PLC0415 - a terminal only
    import tty  # noqa: PLC0415

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

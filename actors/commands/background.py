"""A system that a program runs: in a process of its own, or in the program's.

The program holds one end of a socket, the system's main process the other. Over it
the main process is told what to run, and tells that it runs, or why it does not, and
how it has ended. Where the program ends, its end is closed, and the system drains.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, wait
from multiprocessing import spawn
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.commands.exit_codes import Exit
from actors.commands.owner import Owner
from actors.commands.start_error import StartError
from actors.config.errors import ConfigError
from actors.host.control_socket import ControlError
from actors.host.state_dir import StateDirError
from actors.journal.file import JournalDamagedError
from actors.journal.follow import AwayError, JournalPosition, MissedError
from actors.journal.stores import follower_of, position_of
from actors.status.commands import AskStatus, Attach, Detach, Stop, Wait, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO, Self

    from actors.config.model import SystemConfig
    from actors.hooks.callbacks import Callbacks
    from actors.host import native
    from actors.host.state_dir import SystemFiles
    from actors.journal.follow import EndedJob
    from actors.status.commands import Answer, Command
    from actors.status.model import SystemStatus

#: How long a question may take, in seconds.
ANSWER_WITHIN_S = 5.0
#: How long each processor may take to start on a busy machine, beyond that.
START_WITHIN_S = 0.5
#: How long what waits for jobs may take, in seconds.
WORK_WITHIN_S = 24 * 3600.0
#: How long a journal may be away once the system has ended, in seconds.
AWAY_S = 10.0
#: Between two signals to stop, the second of which is to count, in seconds.
DELIBERATE_S = 1.0


class RunningError(Exception):
    """The pipeline does not run, or would not do what it was asked for."""


class Results:
    """Jobs that are done, one after another; where it raises, it may be asked on."""

    def __init__(self, found: Iterator[EndedJob | MissedError]) -> None:
        self._found = found
        # Threads may share one: each job goes to one of them.
        self._lock = threading.Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> EndedJob:
        with self._lock:
            found = next(self._found)
        if isinstance(found, MissedError):
            raise found
        return found


class Run:
    """One run of a pipeline, from its start to its end."""

    def __init__(
        self, journal: str | None = None, callbacks: Callbacks | None = None
    ) -> None:
        """Nothing runs yet.

        Args:
            journal: In which jobs are kept that have ended; None if none are.
            callbacks: The program's.

        Raises:
            StartError: It is in PostgreSQL, and cannot be read.
        """
        self.callbacks = callbacks
        self._journal = journal
        try:
            self._place = JournalPosition() if journal is None else position_of(journal)
        except JournalDamagedError as error:
            raise StartError(str(error)) from error
        self._socket: Future[Path] = Future()
        self._ended: Future[Exit] = Future()
        self._pid = os.getpid()
        #: The system's main process, where that is not this one.
        self.process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def here(self) -> Iterator[Owner]:
        """Run it in this process; whatever is raised is its end."""
        try:
            events = None if self.callbacks is None else self.callbacks.writer
            yield Owner(self.started, events=events)
        finally:
            self.end(Exit.FAILURE)
            if self.callbacks is not None:
                self.callbacks.close()

    def started(self, files: SystemFiles | Path) -> None:
        """Note that it runs, and where it can be asked."""
        path = files if isinstance(files, Path) else files.socket
        if self.callbacks is not None:
            self.callbacks.begin()
        self._socket.set_result(path)

    def end(self, code: Exit) -> None:
        """Note how it has ended, once."""
        if not self._ended.done():
            self._ended.set_result(code)
        if not self._socket.done():
            if self.callbacks is not None:
                self.callbacks.close()
            self._socket.set_exception(RunningError("this pipeline did not start"))

    @property
    def is_forked(self) -> bool:
        """Whether this process is a fork of the program's, which hears of no end."""
        return os.getpid() != self._pid

    def _refuse_fork(self) -> None:
        if self.is_forked:
            raise RunningError(
                "this process is a fork of the program that runs this pipeline: "
                "stop(), wait() and results() are to be called there"
            )

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._ended.done()

    def wait(self, within_s: float | None = None) -> Exit:
        """Wait until it has ended, and callbacks have heard of that.

        Raises:
            RunningError: This is a fork of the program.
            TimeoutError: It has not, in time.
        """
        self._refuse_fork()
        try:
            code = self._ended.result(within_s)
        except TimeoutError:
            raise TimeoutError(f"it has not ended within {within_s:g} s") from None
        if self.callbacks is not None:
            self.callbacks.close()
        return code

    def stop(self, *, now: bool = False, within_s: float | None = None) -> Exit:
        """End it, and wait for that.

        Raises:
            RunningError: This is a fork of the program.
            TimeoutError: It has not ended in time.
        """
        self._refuse_fork()
        if not self.has_ended:
            self._stop(now=now)
        return self.wait(within_s)

    def _stop(self, *, now: bool) -> None:
        if self.process is None or now:
            try:
                self._ask(Stop(now=now), WORK_WITHIN_S)
            except RunningError:
                if self.process is None:
                    return  # it has just ended, or its root is about to be replaced
            else:
                return
        # A signal is heard at any time, while it starts and when its root hangs.
        if self.process is not None:
            self.process.terminate()
            if now:
                time.sleep(DELIBERATE_S)
                self.process.terminate()

    def results(self) -> Iterator[EndedJob]:
        """Each job that is done in this run, in order, until it has ended.

        The iterator raises MissedError where jobs were forgotten before it came to
        them, and goes on behind them at its next call.

        Raises:
            RunningError: Jobs are not kept, it did not start, it has ended and its
                journal does not answer any more, or this is a fork of the program.
        """
        self._refuse_fork()
        if self._journal is None:
            raise RunningError(
                "results() reads jobs that have ended from the journal: it needs one "
                "(journal), and jobs that are kept (keep_s)"
            )
        return Results(self._ends(self._journal))

    def _ends(self, journal: str) -> Iterator[EndedJob | MissedError]:
        self._socket.result()
        with contextlib.closing(follower_of(journal, self._place)) as follower:
            away_until = math.inf
            while True:
                # Whatever was done before its end is there after it.
                ended = self.has_ended
                try:
                    jobs = follower.ends()
                except MissedError as error:
                    yield error
                    continue
                except AwayError as error:
                    # The system waits for it as well.
                    if ended:
                        away_until = min(away_until, time.monotonic() + AWAY_S)
                    if time.monotonic() >= away_until:
                        raise RunningError(str(error)) from error
                    time.sleep(follower.look_s)
                    continue
                if jobs:
                    yield from (each for each in jobs if each.state == "done")
                elif ended:
                    return
                else:
                    wait([self._ended], follower.look_s)

    def status(self) -> SystemStatus:
        """How it is.

        Raises:
            RunningError: It does not run, or does not answer.
        """
        status = self._ask(AskStatus(), ANSWER_WITHIN_S)
        if "events" not in status:
            raise RunningError("expected the status of a leader")
        return status

    def attach(self, count: int, processor: str | None) -> list[str]:
        """Add processors; returns their names.

        Raises:
            RunningError: It does not run, or refuses.
        """
        within_s = ANSWER_WITHIN_S * 4 + START_WITHIN_S * count
        return self._ask(Attach(count=count, processor=processor), within_s)["attached"]

    def detach(self, names: Sequence[str], count: int | None) -> list[str]:
        """Remove processors; returns their names.

        Raises:
            RunningError: It does not run, or refuses.
        """
        chosen = count if names or count is not None else 1
        command = Detach(names=list(names) or None, count=chosen)
        return self._ask(command, WORK_WITHIN_S)["detached"]

    def wait_for_jobs(self, names: Sequence[str], within_s: float | None) -> None:
        """Wait until all jobs have ended that were fetched before now.

        Raises:
            RunningError: It does not run, or it did not come to that in time.
        """
        self._ask(Wait(names=list(names)), within_s or WORK_WITHIN_S)

    def _ask(self, command: Command[Answer], within_s: float) -> Answer:
        if self.has_ended:
            raise RunningError("this pipeline has ended")
        try:
            return ask(self._socket.result(), command, within_s)
        except (ControlError, StateDirError) as error:
            raise RunningError(str(error)) from error


def start(run: Run, config: SystemConfig) -> None:
    """Start a system in a process of its own; return once it runs.

    Raises:
        StartError: It cannot be started.
        ConfigError: Its functions cannot be used, where it runs.
    """
    try:
        _start(run, config)
    except BaseException:
        run.end(Exit.FAILURE)
        raise


def _start(run: Run, config: SystemConfig) -> None:
    preparation = _preparation(config)
    here, there = socket.socketpair()
    # The other process finds this package where this one does.
    fds = [there.fileno()]
    if run.callbacks is not None:
        fds.append(run.callbacks.writer.fileno())
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; from actors.commands import "
        f"background; sys.exit(background.main(*{fds}))"
    )
    with there:
        # Where this program's sockets are green, it is not.
        os.set_blocking(there.fileno(), True)
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-c", code],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
        )
    run.process = process
    if run.callbacks is not None:
        run.callbacks.writer.close()
    lines = here.makefile("rb")
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            here.sendall(pickle.dumps(preparation) + pickle.dumps(config))
        told = _read(lines)
    except BaseException:  # Ctrl-C, say: the other process has had it as well
        here.close()
        process.terminate()
        process.wait()
        raise
    if (path := told.get("started")) is None:
        here.close()
        code_ = process.wait()
        if problems := told.get("problems"):
            raise ConfigError(*problems)
        died = f"its main process ended before it ran, with exit code {code_}"
        raise StartError(told.get("error", died))
    end = _AtExit(run)
    threading.Thread(
        target=_watch, args=(run, process, here, lines, end), daemon=True
    ).start()
    run.started(Path(path))


class _AtExit:
    """Ends a system that runs when its program ends in order."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pid = os.getpid()
        atexit.register(self)

    def __call__(self) -> None:
        if os.getpid() == self._pid:  # no fork of the program's
            with contextlib.suppress(KeyboardInterrupt):
                self._run.stop()


def _watch(
    run: Run,
    process: subprocess.Popen[bytes],
    here: socket.socket,
    lines: BinaryIO,
    end: _AtExit,
) -> None:
    """Wait for the end of a system, and note it."""
    told = _read(lines)
    code = process.wait()
    with lines, here:
        pass
    atexit.unregister(end)
    try:
        run.end(Exit(told.get("ended", code)))
    except ValueError:  # it was killed
        run.end(Exit.FAILURE)


def _read(lines: BinaryIO) -> dict[str, Any]:
    """The next line; nothing where there is none."""
    try:
        line = lines.readline()
    except (OSError, ValueError):
        return {}
    told: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return told


_UNGUARDED = (
    "this program starts its pipeline whenever its file is imported, and the system's "
    'own process imports it: put that under if __name__ == "__main__"'
)
#: Whether this process is one that imports the file of the program it works for.
_importing = False


def _preparation(config: SystemConfig) -> dict[str, Any]:
    check_importing()
    try:
        preparation = spawn.get_preparation_data("lowtide")
    except RuntimeError as error:  # a process of multiprocessing's imports the program
        raise StartError(_UNGUARDED) from error
    wanted = {"init_main_from_name", "init_main_from_path"}
    preparation.pop("authkey", None)  # it is for no socket like ours
    if "__main__:" not in repr(config):
        # Nobody needs the program's own file there.
        return {key: each for key, each in preparation.items() if key not in wanted}
    if not wanted & preparation.keys():
        raise StartError(
            "the functions of this pipeline are in no file that another process could "
            "import: write them to a module, or call run()"
        )
    return preparation


def check_importing() -> None:
    """Refuse to start a system while a program's file is imported for another one.

    Raises:
        StartError: It is.
    """
    if _importing:
        raise StartError(_UNGUARDED)


def main(fd: int, events_fd: int | None = None) -> int:
    """Be the main process of the system that comes over a socket.

    Args:
        fd: The socket.
        events_fd: That of the program's callbacks.
    """
    # Only here, where there is Linux.
    from actors.host import forks, native  # noqa: PLC0415

    global _importing  # noqa: PLW0603 - of this process, once
    line = socket.socket(fileno=fd)
    events = None if events_fd is None else native.Socket(fileno=events_fd)
    for each in filter(None, (line, events)):
        os.set_inheritable(each.fileno(), False)  # noqa: FBT003
        forks.keep_open(each)
    told: dict[str, Any]
    try:
        with line.makefile("rb") as commands:
            preparation = pickle.load(commands)  # noqa: S301 - our own program's
            _importing = True
            spawn.prepare(preparation)
            _importing = False
            config = pickle.load(commands)  # noqa: S301
        code = _run(config, line, events)
    except KeyboardInterrupt:
        return Exit.FORCED
    except ConfigError as error:
        code, told = Exit.USAGE, {"problems": error.problems}
    except Exception as error:  # noqa: BLE001 - whoever started this is told
        code, told = Exit.USAGE, {"error": _text(error)}
    else:
        told = {"ended": code}
    _tell(line, told)
    return code


def _run(
    config: SystemConfig, line: socket.socket, events: native.Socket | None
) -> int:
    from actors.commands.run import run  # noqa: PLC0415

    def started(files: SystemFiles) -> None:
        _tell(line, {"started": str(files.socket)})

    return run(config, owner=Owner(started, line.fileno(), events))


def _tell(line: socket.socket, told: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the program is gone
        line.sendall(json.dumps(told).encode() + b"\n")


def _text(error: Exception) -> str:
    if isinstance(error, StartError | StateDirError):
        return str(error)
    return f"{type(error).__name__}: {error}"

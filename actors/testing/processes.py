"""Systems of real processes for tests: started, watched, and always ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from actors.host.control_socket import ControlError, ask
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.status.model import SystemStatus

#: How long a test waits for something before it gives up, in seconds. It says no more
#: than that something hangs: a start waits for cores that others use.
WITHIN_S = 60.0
#: Between two looks at what is waited for, at first and at last, in seconds.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.01, 0.1
#: How long ``status`` goes on asking while there is no answer, in seconds.
ANSWERS_WITHIN_S = 8.0
#: How long the system may take for one answer, in seconds.
ANSWER_WITHIN_S = 5.0


class DeadlineError(AssertionError):
    """What was waited for did not come in time."""


def wait_until(
    condition: Callable[[], Any], what: str, within_s: float = WITHIN_S
) -> Any:
    """Look again and again until ``condition`` holds; returns what it returned."""
    end = time.monotonic() + within_s
    pause = FIRST_PAUSE_S
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise DeadlineError(f"not within {within_s:g} s: {what}")
        time.sleep(pause)
        # What takes long to come is not to be made slower by looking for it.
        pause = min(1.5 * pause, LAST_PAUSE_S)


class Program:
    """A command of ours in a process of its own, its JSON log lines as they come."""

    def __init__(
        self,
        *words: str,
        env: dict[str, str],
        read_log: bool = True,
        prefix: Sequence[str] = (),
    ) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            [*prefix, sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        self.lines: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader: threading.Thread | None = None
        if read_log:
            self.read_log()

    def read_log(self) -> None:
        """Begin to read standard error."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(
        self, event: str, count: int = 1, within_s: float = WITHIN_S, **fields: Any
    ) -> list[dict[str, Any]]:
        """Wait until this many log lines tell of ``event`` with these fields."""

        def enough() -> bool:
            return len(self.all_of(event, **fields)) >= count

        def settled() -> bool:
            return enough() or self._ended

        with self._changed:
            self._changed.wait_for(settled, within_s)
            if not enough():
                seen = "\n".join(self.lines[-30:])
                raise DeadlineError(f"no {count} x {event} {fields} in:\n{seen}")
        return self.all_of(event, **fields)

    def all_of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The log lines so far that tell of ``event`` with these fields."""
        return [
            each
            for each in self.events
            if each.get("event") == event
            and all(each.get(key) == value for key, value in fields.items())
        ]

    def wait(self, within_s: float = WITHIN_S) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(within_s)
        if self._reader is not None:
            self._reader.join(within_s)
        return code

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WITHIN_S)
        if self._reader is not None:
            self._reader.join(WITHIN_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - it is a pipe
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                with contextlib.suppress(ValueError):
                    self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class System:
    """A running system and the commands for it."""

    def __init__(self, program: Program, port: int, env: dict[str, str]) -> None:
        self.program = program
        self.port = port
        self.env = env
        self.wait_for = program.wait_for
        self.all_of = program.all_of
        self.wait = program.wait

    def command(self, *words: str, within_s: float = WITHIN_S) -> tuple[int, str, str]:
        """Run another command for it; returns exit code, output, errors."""
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "actors.main", *words, "--port", str(self.port)],
            capture_output=True,
            text=True,
            env=self.env,
            timeout=within_s,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def status(self, *, patient: bool = True) -> SystemStatus:
        """What ``status --json`` says; asked for as that does, without a process.

        Args:
            patient: Whether to ask again while a stage gives no answer: a busy
                machine may hold one up for longer than the root waits. One that
                hangs is told after a few seconds all the same.
        """
        files = SystemFiles(Path(self.env["LOWTIDE_STATE_DIR"]), self.port)
        end = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            late = time.monotonic() > end
            answer: Any
            try:
                answer = ask(files.socket, {"verb": "status"}, ANSWER_WITHIN_S)
            except ControlError as error:
                answer = {"error": str(error)}
            if "error" not in answer:
                status: SystemStatus = answer
                if late or not (patient and _some_silent(status)):
                    return status
            else:
                assert not late, answer["error"]  # noqa: S101 - a test's finding
            time.sleep(LAST_PAUSE_S)

    def wait_for_in_flight(self, count: int = 1) -> None:
        """Wait until this many jobs are in the hands of processors.

        A job that was fetched is not there yet: its processor may be about to ask.
        """

        def enough() -> bool:
            return bool(self.status()["accounting"]["in_flight"] >= count)

        wait_until(enough, f"{count} jobs in flight")

    def signal(self, number: signal.Signals) -> None:
        """Send the main process a signal."""
        self.program.process.send_signal(number)

    def kill_all(self) -> None:
        """End every process of it at once, as a power cut does."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self) -> set[int]:
        """Every process that carries this system's mark in its environment."""
        mark = f"SYSTEM_TEST_MARK={self.env['SYSTEM_TEST_MARK']}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
            except OSError:
                continue
        return found - _zombies(found)


def _some_silent(status: SystemStatus) -> bool:
    stages = (*status["fetchers"], *status["processors"])
    return any(each["state"] == "silent" for each in stages)


def _zombies(pids: set[int]) -> set[int]:
    zombies = set()
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            zombies.add(pid)
            continue
        if stat.rpartition(")")[2].split()[0] == "Z":
            zombies.add(pid)
    return zombies


def wait_until_gone(system: System, within_s: float = WITHIN_S) -> set[int]:
    """Wait until no process of a system is left; returns those that are."""
    try:
        wait_until(lambda: not system.pids(), "all processes gone", within_s)
    except DeadlineError:
        return system.pids()
    return set()


class Systems:
    """Starts systems, each on a free port of its own, in one directory.

    Nothing of theirs lies outside of it: state, journal, sockets. They carry a
    mark in their environment, by which every process of theirs is found.

    Args:
        directory: For state and journal; a fresh one.
        path: Directories for Python to find job functions in.
    """

    def __init__(self, directory: Path, path: Iterable[str | Path] = ()) -> None:
        kept = {k: each for k, each in os.environ.items() if "LOWTIDE" not in k}
        self.env = kept | {
            "LOWTIDE_STATE_DIR": str(directory / "state"),
            "LOWTIDE_JOURNAL": str(directory / "lowtide.db"),
            "SYSTEM_TEST_MARK": uuid.uuid4().hex,
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONUNBUFFERED": "1",
            # Process titles would overwrite the environment, and the mark in it.
            "SPT_NOENV": "1",
        }
        self.started: list[System] = []

    def start(
        self,
        *words: str,
        read_log: bool = True,
        ready: bool = True,
        port: int | None = None,
        prefix: Sequence[str] = (),
    ) -> System:
        """Start ``lowtide run`` with these words.

        Args:
            words: Of the command line, without the port.
            read_log: Whether to read its log from the beginning.
            ready: Whether to wait until it has started.
            port: Which; a free one if none is given.
            prefix: What to run the command by.
        """
        port = port or free_port()
        options = ["--port", str(port), "--log-format", "json"]
        command = ("-m", "actors.main", *words, *options)
        program = Program(*command, env=self.env, read_log=read_log, prefix=prefix)
        system = System(program, port, self.env)
        self.started.append(system)
        if read_log and ready:
            system.wait_for("system.started")
        return system

    def join(
        self, leader: str, *words: str, prefix: Sequence[str] = (), ready: bool = True
    ) -> System:
        """Start ``lowtide join`` with these words, as on another machine.

        Args:
            leader: ``HOST:PORT``.
            words: Of the command line.
            prefix: What to run the command by.
            ready: Whether to wait until its processors work.
        """
        env = self.env | {"SYSTEM_TEST_MARK": uuid.uuid4().hex}
        port = free_port()
        options = ["--port", str(port), "--log-format", "json"]
        command = ("-m", "actors.main", "join", leader, *words, *options)
        system = System(Program(*command, env=env, prefix=prefix), port, env)
        self.started.append(system)
        if ready:
            system.wait_for("machine.working")
        return system

    def close(self) -> set[int]:
        """Kill them all; returns the processes that are left over: none."""
        left = set()
        for system in self.started:
            system.program.close()
        for system in self.started:
            left |= wait_until_gone(system)
        return left

    def log(self) -> str:
        """The last lines of every log."""
        return "\n".join("\n".join(e.program.lines[-200:]) for e in self.started)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""What a stage touches of the world: time, chance, threads, files, sockets.

All of it goes through one object, so that a test can put a world of its own in
its place, and the stages are the same in both.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.actor_system.event_loop import LoopWorker
from actors.actor_system.worker import Worker
from actors.hooks.event_queue import event_queue_of
from actors.host import crash_signals, forks, keeper, linux, logs, stack_dumps, tcp
from actors.host.control_socket import ControlServer
from actors.host.forked_call import Call
from actors.host.reports import Reporter
from actors.journal.sqlite import Clock, since_boot
from actors.journal.stores import open_journal
from actors.user_code import functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from actors.hooks.event_queue import EventQueue
    from actors.host.logs import Event
    from actors.journal.journal import Keep
    from actors.journal.memory import MemoryJournal
    from actors.journal.sqlite import SqliteJournal


class Environment:
    """The world as it is.

    Attributes:
        errors: What a handler may raise, and its stage goes on: in a turn a library of
            the user's may raise anything in it, from another thread.
    """

    errors: type[BaseException] = BaseException

    def begin_process(self) -> None:
        """Make this process one that a user's code may run in."""
        stack_dumps.register()
        crash_signals.write_crashes()
        forks.keep_all()
        forks.shield()

    def before_child(self) -> int:
        """Make room for another process; returns what it would leave of a crash."""
        keeper.end_orphans()
        return crash_signals.prepare_crash()

    def after_child(self) -> None:
        """End what a process of ours has left behind."""
        keeper.end_orphans()

    def main_end(self) -> int:
        """A descriptor that can be read once the main process has ended, or below 0."""
        return keeper.starter_end()

    def end_system(self) -> None:
        """End every process of the system: the main process has ended."""
        keeper.end_in_its_place()

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch, for what outlives this machine's uptime."""
        return time.time()

    def chance(self) -> float:
        """Uniform in 0 to 1."""
        return random.random()  # noqa: S311

    def process_id(self) -> int:
        """The operating system's id of this process."""
        return os.getpid()

    def log(self, level: str, **bound: Any) -> FilteringBoundLogger:
        """This process's log, with ``bound`` on each line."""
        return logs.configure(level, **bound)

    def last_lines(self) -> list[Event]:
        """The last lines of this process's log, oldest first."""
        return logs.recent()

    def worker(self, name: str, threads: int = 1) -> Worker:
        """Threads of its own for what blocks."""
        return Worker(name, threads)

    def executor(self, name: str) -> Callable[..., Any] | None:
        """The function that makes an executor; None where jobs run without."""
        return self.function(name)

    def loop(self, name: str) -> LoopWorker:
        """An event loop of its own for async functions."""
        return LoopWorker(name)

    def forked_call(self) -> Callable[[Callable[[], str], float], str] | None:
        """What calls a function in a process of its own, for this many seconds.

        It returns nothing where the function ended that process, or was too late.
        """
        return _call_in_fork

    def function(self, name: str) -> Callable[..., Any]:
        """The job function of this name.

        Raises:
            FunctionError: There is none.
        """
        return functions.load(name)

    def beside(self, name: str, function_name: str) -> Callable[..., Any] | None:
        """Another function of the module of one that is loaded, if it has it."""
        return functions.load_beside(name, function_name)

    def journal(
        self,
        journal: str | None,
        fetcher: str,
        remember_s: float,
        keep: Keep | None = None,
    ) -> SqliteJournal | MemoryJournal:
        """What a fetcher keeps its jobs in; ``journal`` is the file, if any."""
        clock = Clock(self.wall, self.now, since_boot)
        return open_journal(journal, fetcher, clock, remember_s, keep)

    def hook_events(self, fetcher: str) -> EventQueue | None:
        """Where hooks hear of a fetcher's jobs; None where there are none."""
        return event_queue_of(fetcher, self.wall)

    def control(self, path: str, orders_fd: int) -> ControlServer:
        """Where commands arrive: other terminals', and the main process's orders."""
        return ControlServer(Path(path), orders_fd)

    def reporter(self, fd: int) -> Reporter:
        """The root's line to the main process."""
        return Reporter(fd)

    def endpoints(self, host: str, port: int) -> list[tcp.Endpoint]:
        """Every address that another machine's name has now; may block.

        Raises:
            OSError: It has none, or nobody can say.
        """
        return tcp.endpoints(host, port)

    def connect(self, endpoint: tcp.Endpoint) -> tcp.Connection:
        """Begin to connect to another machine.

        Raises:
            OSError: That cannot be.
        """
        return tcp.connect(endpoint)

    def listen(self, host: str, port: int) -> list[tcp.Listener]:
        """Let other machines connect, at every address of a name.

        Raises:
            OSError: That cannot be.
        """
        return tcp.listen(host, port)

    def descriptors_left(self) -> int:
        """How many more files this process may open."""
        return linux.descriptors_left()

    def tasks_left(self, count: int) -> int | None:
        """How many more processes and threads may be started; None for any number."""
        return linux.allow_tasks(count)

    def kill(self, pid: int) -> None:
        """End a process at once; nothing happens if it is gone already."""
        linux.kill(pid)


def _call_in_fork(function: Callable[[], str], within_s: float) -> str:
    return Call(function, within_s).wait(within_s + 1.0) or ""

"""The environment of a process that is none: its threads, files, sockets and log."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.actor_system.environment import Environment
from actors.actor_system.event_loop import LoopWorker
from actors.actor_system.worker import Permits, Worker
from actors.host.reports import Reporter
from actors.journal.file import SCHEMA
from actors.journal.journal import JournalError
from actors.journal.memory import MemoryJournal
from actors.journal.sqlite import Clock, SqliteJournal
from actors.processor.process_call import Ended
from actors.testing.instructions import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from actors.actor_system.event_loop import Failed as TaskFailed
    from actors.actor_system.event_loop import Make
    from actors.actor_system.worker import Failed, Run
    from actors.demand.job_events import JobEvent
    from actors.host.logs import Event
    from actors.host.reports import Report
    from actors.host.tcp import Connection, Endpoint, Listener
    from actors.journal.journal import Keep
    from actors.testing.base import Node

#: How many turns of a loop what comes last has: no time passes in them.
_LAST_TURNS = 16
_BLOCKED = object()
_ENDED = object()


@functools.cache
def _empty_journal() -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        return database.serialize()


class _Kept(sqlite3.Connection):
    """A database in memory is gone with its connection: stages cannot close it."""

    def close(self) -> None:
        return

    def shut(self) -> None:
        super().close()


class Surroundings:
    """What the processes of one machine find around them.

    Attributes:
        functions: The user's, by name.
        control: Where the test's commands arrive, once a root is there.
        calling: The process whose job function runs now.
        databases: Each stands for a file of SQLite's, by its path.
        network: Where other machines are, if there are any: a test's own.
        address: Of this machine there.
        loops: Those of async functions.
    """

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        self.functions = functions
        self.control: VirtualControl | None = None
        self.calling: Node | None = None
        self.databases: dict[str, _Kept] = {}
        self.network: Any = None
        self.address = ""
        self.loops: list[VirtualLoop] = []

    def database(self, path: str) -> sqlite3.Connection:
        """The database that stands for the file at ``path``."""
        if path not in self.databases:
            database = sqlite3.connect(":memory:", isolation_level=None, factory=_Kept)
            database.deserialize(_empty_journal())
            self.databases[path] = database
        return self.databases[path]

    def reported(self, report: Report) -> None:
        """Act on a report of the root's."""
        raise NotImplementedError


class VirtualEnvironment(Environment):
    """What one node sees of its world."""

    #: Not a kill, nor a Ctrl-C in a test.
    errors = Exception

    def __init__(self, node: Node, around: Surroundings) -> None:
        self._node = node
        self._around = around

    def begin_process(self) -> None:
        """Nothing: the process is the test's."""

    def before_child(self) -> int:
        """Nothing is left behind here."""
        return -1

    def after_child(self) -> None:
        """Nothing is left behind here."""

    def now(self) -> float:
        """Virtual monotonic seconds."""
        return self._node.base.agenda.now

    def wall(self) -> float:
        """Virtual seconds since the epoch."""
        return self._node.base.agenda.wall

    def chance(self) -> float:
        """From the world's seed."""
        return self._node.base.faults.chance()

    def process_id(self) -> int:
        """The node's own."""
        return self._node.pid

    def log(self, level: str, **bound: Any) -> Any:  # noqa: ARG002 - all is seen
        """A log that the world reads; it also tells the node's name."""
        if bound:
            self._node.name = next(iter(bound.values()))
        return VirtualLog(self._node, bound)

    def last_lines(self) -> list[Event]:
        """None: the log of the process that runs the test is not this node's."""
        return []

    def worker(self, name: str, threads: int = 1) -> Worker:
        """Calls one after another, or several at a time, without a thread."""
        if threads == 1:
            return VirtualWorker(self._node, self._around, name)
        return VirtualThreads(self._node, self._around, name, threads)

    def executor(self, name: str) -> Callable[..., Any] | None:  # noqa: ARG002
        """None: jobs run here."""
        return None

    def loop(self, name: str) -> LoopWorker:
        """An event loop whose time is the world's."""
        return VirtualLoopWorker(self._node, self._around, name)

    def forked_call(self) -> None:
        """Nothing: there are no processes here."""

    def hook_events(self, fetcher: str) -> None:
        """Nobody: hooks have a process of their own."""

    def function(self, name: str) -> Callable[..., Any]:
        """The world's, or whatever Python finds under that name."""
        known = self._around.functions.get(name)
        return super().function(name) if known is None else known

    def journal(
        self,
        journal: str | None,
        fetcher: str,
        remember_s: float,
        keep: Keep | None = None,
    ) -> SqliteJournal | MemoryJournal:
        """The real journal, over the world's database."""
        if journal is None:
            return MemoryJournal(self.now, remember_s)
        clock = Clock(self.wall, self.now)
        db = self._around.database(journal)
        kept = VirtualJournal(Path(journal), fetcher, clock, db, remember_s, keep)
        return kept.at(self._node)

    def control(self, path: str, orders_fd: int) -> Any:  # noqa: ARG002 - only one
        """Where the test's commands arrive."""
        self._around.control = VirtualControl(self._node)
        return self._around.control

    def reporter(self, fd: int) -> Any:  # noqa: ARG002 - there is only one
        """The line to who stands for the main process."""
        return VirtualReporter(self._around)

    def endpoints(self, host: str, port: int) -> list[Endpoint]:
        """What the network's resolver says."""
        found: list[Endpoint] = self._network.endpoints(host, port)
        return found

    def connect(self, endpoint: Endpoint) -> Connection:
        """Begin to connect to another machine of the network."""
        made: Connection = self._network.connect(
            self._node, endpoint, self._around.address
        )
        return made

    def listen(self, host: str, port: int) -> list[Listener]:  # noqa: ARG002
        """Let other machines of the network connect, whatever name is given."""
        return [self._network.listen(self._node, self._around.address, port)]

    @property
    def _network(self) -> Any:
        if self._around.network is None:
            raise OSError("there are no other machines")
        return self._around.network

    def kill(self, pid: int) -> None:
        """End another node."""
        if (node := self._node.base.nodes.get(pid)) is not None:
            self._node.base.kill(node)


class VirtualLog:
    """Stands for a structlog logger."""

    def __init__(self, node: Node, bound: dict[str, Any]) -> None:
        self._node = node
        self._bound = {"pid": node.pid} | bound

    def bind(self, **more: Any) -> VirtualLog:
        """The same log with more on each line."""
        return VirtualLog(self._node, self._bound | more)

    def debug(self, event: str, **fields: Any) -> None:
        """Write a line."""
        self._tell("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write a line."""
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line."""
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write a line."""
        self._tell("error", event, fields)

    exception = error

    def _tell(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self._node.base.observer.told(self._node, level, event, self._bound | fields)


class VirtualPermits(Permits):
    """A gate that tells its worker to wait, where a thread would block."""

    def __init__(self, worker: VirtualWorker) -> None:
        self._worker = worker
        self._count = 0

    def release(self, count: int = 1) -> None:
        """Let the call pass ``count`` times."""
        self._count += count
        self._worker.unblock()

    def passed(self, count: int = 1) -> Iterator[Any]:
        """Wait for ``count`` passes."""
        while self._count < count:
            yield _BLOCKED
        self._count -= count


class VirtualWorker(Worker):
    """Runs calls step by step; what a step yields arrives when its time is over."""

    def __init__(self, node: Node, around: Surroundings, name: str) -> None:
        self.fd = node.base.new_fd()
        self.running: Iterator[Any] | None = None
        self._node = node
        self._around = around
        self._name = name
        self._waiting: deque[tuple[Run, Failed]] = deque()
        self._failed: Failed
        self._here: list[Any] = []
        self._blocked = False

    def call(self, run: Run, failed: Failed) -> None:
        """Run what was given, after the calls before."""
        self._waiting.append((run, failed))
        if self.running is None:
            self._next_call()

    def take(self) -> list[Any]:
        """What was yielded since the last call, in order."""
        self._node.ready.discard(self.fd)
        taken, self._here = self._here, []
        return taken

    def put(self, value: Any) -> None:
        """Leave a value where ``take`` finds it."""
        self._here.append(value)
        self._node.signal(self.fd)

    def permits(self) -> Permits:
        """Permits for this worker's calls."""
        return VirtualPermits(self)

    def waits_next(self) -> None:
        """Nothing: there is one thread."""

    def speak(self) -> None:
        """Nothing: all is heard that is yielded."""

    def finish(self, run: Run, failed: Failed, within_s: float) -> None:  # noqa: ARG002
        """Run a last call."""
        self._around.calling = self._node
        with contextlib.suppress(Exception):
            list(run())

    def stop(self) -> None:
        """Take no further call."""
        self._waiting.clear()

    def abandon(self) -> None:
        """Leave the call that runs to itself."""
        self._waiting.clear()
        self.running, self._blocked = None, False

    def unblock(self) -> None:
        """Look whether a gate has opened."""
        if self._blocked:
            self._blocked = False
            self._step_later()

    def _step_later(self) -> None:
        running = self.running
        # Unless it was abandoned until then.
        self._node.later(0.0, lambda: self._step(running))

    def _next_call(self) -> None:
        self.running = None
        if self._waiting:
            run, self._failed = self._waiting.popleft()
            self.running = run()
            self._step_later()

    def _step(self, running: Iterator[Any] | None) -> None:
        if self.running is not running or running is None:
            return
        faults = self._node.base.faults
        faults.reach("call.began", self._node)
        self._around.calling = self._node
        # A call may yield None: a source that was told of a job's end does.
        value = self._next_value()
        if value is _ENDED:
            self._next_call()
        elif value is _BLOCKED:
            self._blocked = True
        else:
            delay_s = faults.duration_s(self._name)
            if type(value) is Ended:
                value = _lasted(value, delay_s)
            running = self.running
            self._node.later(delay_s, lambda: self._arrived(value, running))

    def _next_value(self) -> Any:
        while True:
            assert self.running is not None  # noqa: S101 - see _step
            try:
                return next(self.running, _ENDED)
            except Killed:
                raise
            except BaseException as error:  # noqa: BLE001 - as a thread does
                self.running = self._failed(error)

    def _arrived(self, value: Any, running: Iterator[Any] | None) -> None:
        if self.running is not running:
            return
        self._node.base.faults.reach("call.ended", self._node)
        # A thread goes on before the mailbox looks: what was handed over by
        # reference is what the user's next lines made of it.
        self._step_later()
        self.put(value)


def _lasted(end: Ended, took_s: float) -> Ended:
    # What was measured is the time of the process that runs the test.
    return end._replace(outcome=end.outcome._replace(duration_s=took_s))


class VirtualThreads(Worker):
    """Several workers that share what waits, as threads do."""

    def __init__(
        self, node: Node, around: Surroundings, name: str, threads: int
    ) -> None:
        self.fd = node.base.new_fd()
        self._node = node
        self._here: list[Any] = []
        self._lanes = [_Lane(self, node, around, name) for _ in range(threads)]
        self._waiting: deque[tuple[Run, Failed]] = deque()

    def call(self, run: Run, failed: Failed) -> None:
        """Run what was given, as soon as one of them is free."""
        self._waiting.append((run, failed))
        for lane in self._lanes:
            if lane.running is None:
                lane.go_on()
                return

    def next_call(self) -> tuple[Run, Failed] | None:
        """What is to be run next, if something is."""
        return self._waiting.popleft() if self._waiting else None

    def take(self) -> list[Any]:
        """What was yielded since the last call, in order."""
        self._node.ready.discard(self.fd)
        taken, self._here = self._here, []
        return taken

    def put(self, value: Any) -> None:
        """Leave a value where ``take`` finds it."""
        self._here.append(value)
        self._node.signal(self.fd)

    def waits_next(self) -> None:
        """Nothing: there is one thread."""

    def speak(self) -> None:
        """Nothing: all is heard that is yielded."""

    def finish(self, run: Run, failed: Failed, within_s: float) -> None:
        """Run a last call."""
        self._lanes[0].finish(run, failed, within_s)

    def stop(self) -> None:
        """Take no further call."""
        self._waiting.clear()


class _Lane(VirtualWorker):
    """One of several that work for one stage."""

    def __init__(
        self, threads: VirtualThreads, node: Node, around: Surroundings, name: str
    ) -> None:
        super().__init__(node, around, name)
        self._common = threads

    def go_on(self) -> None:
        """Take the next call."""
        self._next_call()

    def put(self, value: Any) -> None:
        """Leave a value where the stage finds it."""
        self._common.put(value)

    def _next_call(self) -> None:
        if (call := self._common.next_call()) is not None:
            self._waiting.append(call)
        super()._next_call()


class VirtualLoopWorker(LoopWorker):
    """Tasks on a loop that runs at the world's moments, and has its time."""

    def __init__(self, node: Node, around: Surroundings, name: str) -> None:
        self.fd = node.base.new_fd()
        self._node = node
        self._around = around
        self._name = name
        self._here: list[Any] = []
        self._tasks = {}
        self._asked = set()
        self._loop: VirtualLoop = VirtualLoop(node, around)
        around.loops.append(self._loop)

    def take(self) -> list[Any]:
        """What was put since the last call, in order."""
        self._node.ready.discard(self.fd)
        taken, self._here = self._here, []
        return taken

    def put(self, value: Any) -> None:
        """Leave a value where ``take`` finds it, when the call's time is over."""
        delay_s = self._node.base.faults.duration_s(self._name)
        if type(value) is Ended:
            value = _lasted(value, value.outcome.duration_s + delay_s)
        self._node.later(delay_s, lambda: self._arrived(value))

    def spawn(self, key: int, make: Make, failed: TaskFailed) -> None:
        """Run a coroutine beside the others."""
        spawn = super().spawn

        async def timed() -> Iterable[Any]:
            began = self._loop.time()
            ends = [*await make()]
            took_s = self._loop.time() - began
            return [
                _lasted(each, took_s / len(ends)) if type(each) is Ended else each
                for each in ends
            ]

        def begin() -> None:
            self._node.base.faults.reach("call.began", self._node)
            spawn(key, timed, failed)

        self._node.later(0.0, begin)

    def close(
        self,
        within_s: float,  # noqa: ARG002 - there is no thread
        last: Make | None = None,
    ) -> None:
        """Cancel what runs, and close the loop."""
        self._loop.end(last)

    def _arrived(self, value: Any) -> None:
        self._node.base.faults.reach("call.ended", self._node)
        self._here.append(value)
        self._node.signal(self.fd)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that is turned by the world's agenda, one turn at a time.

    ``asyncio.sleep`` takes virtual time. What comes from outside (sockets, threads) is
    seen when there is something else to do.
    """

    def __init__(self, node: Node, around: Surroundings) -> None:
        self._node = node
        self._around = around
        self._ended = False
        super().__init__()

    def time(self) -> float:
        """Virtual monotonic seconds."""
        return self._node.base.agenda.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Call at a moment of virtual time."""
        timer = super().call_at(when, callback, *args, context=context)
        self._node.later(max(0.0, when - self.time()), self._turn)
        return timer

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Call at the next turn."""
        self._node.later(0.0, self._turn)
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Call at the next turn."""
        return self.call_soon(callback, *args, context=context)

    def end(self, last: Make | None = None) -> None:
        """Cancel what is left, run what comes last, and close."""
        if self._ended:
            return
        self._ended = True
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        self._once()
        if last is not None:
            left.add(self.create_task(last()))
            for _ in range(_LAST_TURNS):
                self._once()
        for task in left:
            # One that goes on all the same is as the test wants it.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001
        self.close()

    def _turn(self) -> None:
        if not self._ended:
            self._around.calling = self._node
            self._once()

    def _once(self) -> None:
        super().call_soon(self.stop)
        self.run_forever()


class VirtualJournal(SqliteJournal):
    """The journal, where a process can die or a disk can fail."""

    _node: Node

    def at(self, node: Node) -> VirtualJournal:
        """Put it into a process."""
        self._node = node
        return self

    def sync(self) -> None:
        """Wait for the disk."""
        faults = self._node.base.faults
        faults.reach("sync.began", self._node)
        if error := faults.commit_error(self._node):
            raise JournalError(error)
        super().sync()

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        """Keep the events."""
        faults = self._node.base.faults
        faults.reach("commit.began", self._node)
        if error := faults.commit_error(self._node):
            raise JournalError(error)
        kept = tuple(events)
        super().commit(kept, sync=sync)
        self._node.base.observer.committed(self._node, kept)
        faults.reach("commit.ended", self._node)


class VirtualRequest:
    """A command from the test, and the answer once it is there."""

    def __init__(self, command: dict[str, Any]) -> None:
        self.command = command
        self.reply: dict[str, Any] | None = None

    def answer(self, answer: Mapping[str, Any]) -> None:
        """Take the answer."""
        self.reply = dict(answer)


class VirtualControl:
    """Stands for the control socket."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._fd = node.base.new_fd()
        self._requests: deque[VirtualRequest] = deque()
        self.fds = (self._fd,)
        self.problem = None

    def put(self, request: VirtualRequest) -> None:
        """Send a command."""
        self._requests.append(request)
        self._node.signal(self._fd)

    def ready(self, fd: int) -> VirtualRequest | None:
        """The next command."""
        request = self._requests.popleft() if self._requests else None
        if not self._requests:
            self._node.ready.discard(fd)
        return request

    def tick(self, now: float) -> None:
        """No file can be removed."""

    def next_tick(self) -> float | None:
        """There is nothing to look for."""
        return None


class VirtualReporter(Reporter):
    """Stands for the pipe to the main process."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(fd=-1)
        object.__setattr__(self, "_around", around)

    def tell(self, report: Report) -> None:
        """Hand the report over."""
        self._around.reported(report)  # type: ignore[attr-defined]

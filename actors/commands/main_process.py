"""The main process, from the start of the root to the exit code.

Apart from ``run``, since ``join`` runs one as well, and claims other things for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from actors.actor_system.system import START_WITHIN_S, RunningSystem, wait_for_end
from actors.actor_system.system_base import SystemStartError
from actors.commands.dump import dump
from actors.commands.exit_codes import Exit
from actors.commands.hook_process import HookProcess
from actors.commands.page_process import PageProcess
from actors.commands.start_error import StartError
from actors.config.errors import ConfigError
from actors.config.named_functions import hidden_functions
from actors.config.overrides import Changes
from actors.config.values import unknown_variables
from actors.host import forks, linux, logs, stack_dumps
from actors.host.control_socket import ControlError, Orders
from actors.host.ready_process import (
    NotServingError,
    ReadyProcess,
    number_server,
)
from actors.host.removals import Removals
from actors.host.reports import (
    Alive,
    Beat,
    Failed,
    Fatal,
    Started,
    Stopped,
    Unbegun,
    Unreachable,
    read_reports,
)
from actors.host.state_dir import AlreadyRunningError, StateDirError, make_private
from actors.host.stop_signals import Signals
from actors.host.systemd import feed_watchdog, notify, watchdog_s
from actors.journal.file import JournalDamagedError
from actors.journal.stores import left_by_fetcher, left_in_journal, next_number, shown
from actors.status import commands
from actors.supervision import message_types
from actors.supervision.children import Restarts
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import StartSystem
from actors.supervision.root import RootActor
from actors.user_code.imports import import_bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from actors.actor_system.stage import Stage
    from actors.commands.owner import Owner
    from actors.commands.validated_config import Looking
    from actors.config.model import SystemConfig
    from actors.host.native import Signal
    from actors.host.reports import Report
    from actors.host.state_dir import SystemFiles
    from actors.journal.leadership import Leadership

#: The root's name in the log.
_ROOT = "root"
#: A second signal to stop that comes sooner is the first one again, in seconds: what
#: wraps a command passes on what the terminal has sent to the command already.
DELIBERATE_S = 0.5
#: How long a look at all functions may take on, once one of them is known to be
#: wrong, in seconds.
FOUND_WITHIN_S = 5.0
#: How long the log may take to be read at the end, in seconds.
LOG_WITHIN_S = 1.0


@dataclass(slots=True)
class Main:
    """The process at the top: starts the root, watches it, and ends with it."""

    config: SystemConfig
    files: SystemFiles
    numbers: ReadyProcess | None = None
    system: RunningSystem | None = None
    lock: IO[str] | None = None
    looking: Looking | None = None
    leadership: Leadership | None = None
    lost: bool = field(init=False, default=False)
    owner: Owner | None = None
    orders: Orders = field(default_factory=Orders)
    reports: int = -1
    signals: Signals | None = None
    root: int | None = None
    root_pid: int | None = None
    restarts: Restarts = field(default_factory=Restarts)
    root_start_at: float | None = None
    begin_by: float | None = None
    # The state directory may lie where old files are removed, and the lock with them.
    removals: Removals | None = field(init=False)
    report_writer: int = -1
    report_fd: int = -1
    exit_code: int | None = None
    stopping_since: float | None = None
    told_stopping: bool = False
    paused: bool = False
    started: bool = False
    changes: Changes = field(default_factory=Changes)
    accounting: Mapping[str, object] = field(default_factory=dict)
    page: PageProcess = field(init=False)
    hooks: HookProcess | None = None
    pipe: logs.LogPipe = field(default_factory=logs.open_pipe)
    pump: Signal | None = None
    log: FilteringBoundLogger = field(init=False)
    heartbeat: Heartbeat[str] = field(init=False)
    _had_root: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.heartbeat = Heartbeat(self.config.lease_s)
        self.removals = Removals(self.files.directory)
        self.page = PageProcess(self.config, self.files.socket, self.pipe.writer)

    def run(self) -> int:
        """Start, and go on until it ends; returns the exit code."""
        forks.note_users_files()
        try:
            self._start()
        except (OSError, SystemStartError) as error:
            raise StartError(self._with_cause(f"cannot start: {error}")) from error
        assert self.signals is not None  # noqa: S101 - it has started
        while self.exit_code is None:
            for fd in select.select(self._watched(), [], [], self._wait_s())[0]:
                self._ready(fd, self.signals)
            self._tick(time.monotonic())
        self.log.info(
            "system.stopped", accounting=self.accounting, exit_code=int(self.exit_code)
        )
        return self.exit_code

    def _watched(self) -> list[int]:
        watched = [self.reports, *self._fds_of(self.signals), *self.page.fds]
        watched += [self.root] if self.root is not None else []
        watched += self.looking.fds if self.looking is not None else []
        watched += self.hooks.fds if self.hooks is not None else []
        watched += [self.leadership.lost] if self.leadership is not None else []
        watched += self._fds_of(self.removals)
        return watched + self._fds_of(self.owner)

    @staticmethod
    def _fds_of(thing: Signals | Owner | Removals | None) -> list[int]:
        return [thing.fd] if thing is not None and thing.fd >= 0 else []

    def _ready(  # noqa: C901 - one arm a descriptor
        self, fd: int, signals: Signals
    ) -> None:
        if fd == signals.fd:
            self._signalled(signals.read(), time.monotonic())
        elif fd == self.reports:
            self._reported()
        elif fd == self.root:
            self._root_died()
        elif fd in self.page.fds:
            self.page.died(self.log)
        elif self.hooks is not None and fd in self.hooks.fds:
            self.hooks.died(self.log)
        elif self.leadership is not None and fd == self.leadership.lost:
            self._lost()
        elif fd in self._fds_of(self.owner):
            self._owner_gone(time.monotonic())
        elif self.removals is not None and fd == self.removals.fd:
            self.removals.told(time.monotonic())

    def _owner_gone(self, now: float) -> None:
        self.owner = None
        if self.stopping_since is None:
            self.log.warning("system.abandoned", hint="the program that ran it ended")
            self._signalled({signal.SIGTERM}, now)

    def _lost(self) -> None:
        # Another system has taken over: nothing of ours is kept any more, so nothing
        # of ours may go on.
        self.lost = True
        self.log.error("journal.lost", error="another system leads now")
        self.exit_code = Exit.FAILURE

    def _wait_s(self) -> float | None:
        # The root beats as often, and wakes this process.
        times = [self.heartbeat.next_alone(), self.root_start_at, self.page.start_at]
        times += [self.begin_by]
        times += [None if self.removals is None else self.removals.next_look()]
        times += [None if self.looking is None else self.looking.ends_at]
        times += [None if self.hooks is None else self.hooks.start_at]
        known = [each for each in times if each is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _tick(self, now: float) -> None:
        if self.root_start_at is not None and now >= self.root_start_at:
            self.root_start_at = None
            self._restart_root()
        if now >= (self.page.start_at or math.inf):
            self.page.start_again(self.log)
        if self.hooks is not None and now >= (self.hooks.start_at or math.inf):
            self.hooks.start()
        if self.heartbeat.silent(now):
            self._root_silent()
        self.heartbeat.due(now)
        if self.begin_by is not None and now >= self.begin_by:
            self.begin_by = None
            self._not_begun()
        self._see_what_was_found(0.0)
        if self.removals is not None and self.removals.due(now):
            self._see_to_lock()

    def clean_up(self) -> None:
        """Leave no process, whatever happened."""
        if self.system is not None:
            self.system.kill()
        if self.report_writer >= 0:
            os.close(self.report_writer)
        if self.reports >= 0 and not wait_for_end(self.reports):
            logs.current().error("system.left_over", hint="a process did not end")
        if self.numbers is not None:
            self.numbers.stop()
        self.page.close()
        if self.hooks is not None:
            self.hooks.close()
        # Whatever has become of its place: there is more to give back.
        with contextlib.suppress(OSError):
            self.files.socket.unlink(missing_ok=True)
        if self.pump is not None:
            self.pipe.finish(self.pump, LOG_WITHIN_S)
        self._let_go()
        forks.unshield()
        logs.give_back()

    def _let_go(self) -> None:
        self.orders.close()
        self._look_no_more()
        if self.lock is not None:
            self.lock.close()
            self.files.remove()
        # Last of all: until then an impatient Ctrl-C would leave half of it.
        if self.signals is not None:
            self.signals.give_back()

    def _start(self) -> None:
        # The number server starts while the actor system does; no thread and no
        # signal handler is there before the fork.
        if self.config.needs_number_server:
            first = next_number(self.config.journal)
            words = ["--port", "0", "--first-id", str(first)]
            self.numbers = ReadyProcess(number_server(), words)
        stack_dumps.prepare(self.files.dump)
        self.reports, self.report_writer = map(forks.keep, os.pipe())
        if self.config.fetchers and self.config.hooked:
            program = None if self.owner is None else self.owner.events
            self.hooks = HookProcess(self.config, self.pipe.writer, program)
        # Here once, not in each stage: what an import writes to is its process's own.
        import_bundled(
            (each.fetch for each in self.config.fetchers),
            (each.process for each in self.config.processors),
        )
        # Before the fork too, or each process would have every logger forget what level
        # the root has.
        self.log = logs.configure(self.config.log_level)
        self.system = RunningSystem(
            self.files.sockets, str(self.files.thespian_log), message_types.ADMITTED
        )
        log_format = self.config.log_format or logs.default_format()
        if self.leadership is not None:
            self.leadership.keep()
        tap = None if self.hooks is None else self.hooks.tell_lines
        self.pump = logs.pump(self.pipe, sys.stderr, log_format, tap)
        self.signals = Signals()
        forks.shield()
        for variable in unknown_variables(os.environ):
            self.log.warning("config.unknown_variable", variable=variable)
        for name, file in hidden_functions(self.config):
            self.log.warning("function.hidden", function=name, not_used=file)
        if self.numbers is not None:
            self._use_bundled_source(self.numbers)
        self.page.start()
        if self.hooks is not None:
            self.hooks.start()
        report_writer, self.report_writer = self.report_writer, -1
        self._start_root(report_writer)
        forks.give_up(report_writer)
        os.close(report_writer)

    def _start_root(self, report_fd: int) -> None:
        assert self.system is not None  # noqa: S101 - it was started before
        self.report_fd = report_fd
        self.root_pid = None
        self.system.start_root(*self.root_stage(report_fd))
        now = time.monotonic()
        self.heartbeat.begin(_ROOT, now)
        self.begin_by = None if self.started else now + START_WITHIN_S

    def _restart_root(self) -> None:
        try:
            self._start_root(self.report_fd)
        except (OSError, SystemStartError) as error:
            self.log.error("stage.failed", stage=_ROOT, error=str(error))  # noqa: TRY400
            self._root_died()

    def _see_what_was_found(self, within_s: float) -> None:
        if self.looking is None:
            return
        errors = self.looking.errors(within_s)
        if errors is None:
            return
        self.looking = None
        if errors:
            raise ConfigError(*errors)
        self.orders.send(commands.Begin().as_dict())

    def _not_begun(self) -> None:
        if self.root_pid is None:
            what = f"the root did not begin within {START_WITHIN_S:g} s"
            raise StartError(self._with_cause(f"cannot start: {what}"))

    def _with_cause(self, what: str) -> str:
        # Whoever refused something has logged it, and can tell nobody else.
        if self.pump is None:
            with contextlib.suppress(OSError):
                sys.stderr.write(self.pipe.read_waiting().decode(errors="replace"))
        try:
            problem = json.loads(self.pipe.problem)
        except ValueError:
            return what
        told = {"event", "level", "timestamp", "pid", "trace", "hint"}
        rest = " ".join(f"{key}={problem[key]}" for key in problem if key not in told)
        return f"{what} ({problem.get('event')}: {rest})"

    def _see_to_lock(self) -> None:
        # The state directory may lie where old files are removed. Whoever comes
        # next must find it taken.
        mine = self.lock
        if mine is None or self.files.is_claimed_by(mine):
            return
        try:
            make_private(self.files.directory)
            self.lock = self.files.claim()
        except (AlreadyRunningError, StateDirError) as error:
            self.log.warning("system.not_locked", error=str(error))
            self._look_no_more()
        else:
            mine.close()

    def _look_no_more(self) -> None:
        if self.removals is not None:
            self.removals.close()
            self.removals = None

    def root_stage(self, report_fd: int) -> tuple[type[Stage], Any]:
        """What supervises the rest, and the first message that it gets."""
        start = StartSystem(
            config=self.changes.over(self.config),
            incarnation=secrets.token_hex(4),
            report_fd=report_fd,
            control_socket=str(self.files.socket),
            orders_fd=self.orders.fd,
            held=self.looking is not None,
            paused=self.changes.paused,
            draining=self.changes.draining,
            detached=tuple(sorted(self.changes.detached)),
            again=self._had_root,
        )
        self._had_root = True
        return RootActor, start

    def _use_bundled_source(self, numbers: ReadyProcess) -> None:
        try:
            self.config = self.config.with_url(numbers.url())
        except NotServingError as error:
            raise StartError(f"the bundled number server: {error}") from error

    def _reported(self) -> None:
        reports, ended = read_reports(self.reports)
        for report in reports:
            self._act_on(report)
        if ended and self.exit_code is None:
            self.log.error("system.failed", error="all processes of the system ended")
            self.exit_code = Exit.FAILURE

    def _act_on(  # noqa: C901 - one arm a report
        self, report: Report
    ) -> None:
        if self.changes.heard(report):
            self._changed()
            return
        match report:
            case Alive(pid=pid):
                self._root_is_there(pid)
            case Beat():
                self.heartbeat.heard(_ROOT, time.monotonic())
            case Started():
                self._started()
            case Failed(error=error):
                # Whoever looks at all functions says what is wrong with all.
                self._see_what_was_found(FOUND_WITHIN_S)
                raise StartError(error)
            case Unbegun(error=error):
                self._unbegun(error)
            case Unreachable(error=error):
                self._unreachable(error)
            case Fatal(error=error, accounting=accounting):
                self.log.error("system.failed", error=error)
                self.accounting = accounting
                self.exit_code = Exit.RESTARTS_EXCEEDED
            case Stopped(accounting=accounting, left=left, unanswered=unanswered):
                self._stopped(accounting, left, unanswered)
            case _:  # a change
                return

    def _unbegun(self, error: str) -> None:
        if not self.started:
            raise StartError(error)
        self.log.error("system.failed", error=error)
        self.exit_code = Exit.FAILURE

    def _unreachable(self, error: str) -> None:
        if not self.started:
            raise StartError(error)
        self.log.warning("system.unreachable", error=error)

    def _stopped(
        self, accounting: Mapping[str, object], left: int, unanswered: list[str]
    ) -> None:
        self.accounting = accounting
        # A fetcher that hangs has not said what it has; the journal does.
        left = left or self._left_in_journal()
        if left:
            self.exit_code = Exit.JOBS_LEFT
        else:
            self.exit_code = Exit.FAILURE if unanswered else Exit.NOTHING_LEFT

    def _left_in_journal(self) -> int:
        names = (each.name for each in self.config.fetchers)
        return left_in_journal(self.config.journal, names)

    def _changed(self) -> None:
        if self.leadership is not None:
            self.leadership.keep_changes(self.changes.as_text())
        if self.changes.draining:
            self._tell_stopping()

    def _tell_stopping(self) -> None:
        if not self.told_stopping:
            self.told_stopping = True
            notify("STOPPING=1")

    def _started(self) -> None:
        if self.started:
            self.log.info("stage.restarted", stage=_ROOT, pid=self.root_pid)
        else:
            self.started = True
            # Until now, a cause may be looked for in what has come.
            self.pipe.gather()
            self.tell_started()
            if self.owner is not None:
                self.owner.started(self.files)
            notify("READY=1", f"MAINPID={os.getpid()}")
            if (within_s := watchdog_s()) is not None:
                feed_watchdog(self.files.socket, within_s)
        if self.stopping_since is not None:
            self._stop()

    def _root_is_there(self, pid: int) -> None:
        self.root_pid = pid
        self.begin_by = None
        try:
            self.root = os.pidfd_open(pid)
        except ProcessLookupError:
            self._root_died()

    def _root_died(self) -> None:
        if self.root is not None:
            os.close(self.root)
        self.root = None
        self.heartbeat.end(_ROOT)
        if self.exit_code is not None:
            return
        # Its stages died with it. They start anew under another, from the journal.
        delay = self.restarts.exited(time.monotonic())
        if delay is None:
            self.log.error("system.failed", error="the root died too often")
            self.exit_code = Exit.RESTARTS_EXCEEDED
            return
        self.log.error("stage.exited", stage=_ROOT, restart_in_s=delay)
        self.root_start_at = time.monotonic() + delay

    def _root_silent(self) -> None:
        self.heartbeat.end(_ROOT)
        self.log.error("stage.silent", stage=_ROOT, pid=self.root_pid)
        if self.root is None or self.root_pid is None:
            self._root_died()  # before it could say that it is there
        else:
            linux.kill(self.root_pid)

    def _signalled(self, numbers: set[int], now: float) -> None:
        if signal.SIGUSR1 in numbers:
            dump(self.files, self.root_pid, self.log)
        if signal.SIGTSTP in numbers:
            self._pause(paused=True)
        # A shell that takes it to the foreground sends this one as well.
        if signal.SIGCONT in numbers and self.paused:
            self._pause(paused=False)
        if not numbers & {signal.SIGINT, signal.SIGTERM}:
            return
        if self.stopping_since is not None:
            if now - self.stopping_since >= DELIBERATE_S:
                self.exit_code = Exit.FORCED
            return
        self.stopping_since = now
        self._tell_stopping()
        if not self.started:
            left = self._left_in_journal()
            self.exit_code = Exit.JOBS_LEFT if left else Exit.NOTHING_LEFT
        else:
            self._stop()

    def _pause(self, *, paused: bool) -> None:
        try:
            order = commands.Pause() if paused else commands.Resume()
            self.orders.send(order.as_dict())
        except ControlError as error:
            self.log.warning("system.not_told", error=str(error))
        else:
            self.paused = paused

    def _stop(self) -> None:
        # A root that dies before it reads this, or with it, is followed by one that
        # is told in its first message.
        self.changes.draining = True
        try:
            self.orders.send(commands.Stop().as_dict())
        except ControlError as error:
            self.log.warning("system.not_told", error=str(error))

    def _tell_unclaimed(self) -> None:
        # Somebody renamed a fetcher, perhaps: its jobs wait for one of that name.
        names = {each.name for each in self.config.fetchers}
        with contextlib.suppress(JournalDamagedError):
            for name, count in left_by_fetcher(self.config.journal).items():
                if name not in names:
                    self.log.warning("journal.unclaimed", fetcher=name, jobs=count)

    def tell_started(self) -> None:
        """Say what runs."""
        self.log.info(
            "system.started",
            port=self.config.port,
            fetchers=[_source_of(each) for each in self.config.fetchers],
            processors=[
                f"{each.name} x{each.count}" for each in self.config.processors
            ],
            journal=shown(self.config.journal),
            web=self.page.url or "none",
            bind=self.config.bind or "none",
            promise=_promise(self.config),
            hint="Ctrl-C drains, a second one stops at once",
        )
        if changes := self.changes.as_text():
            self.log.info("system.changed_before", changes=json.loads(changes))
        self._tell_unclaimed()


def _promise(config: SystemConfig) -> str:
    if config.journal is None:
        return "in memory only: what a fetcher holds is lost if its process dies"
    return "nothing is lost once it is fetched; a job may run again after a crash"


def _source_of(fetcher: Any) -> str:
    source = fetcher.options.get("url", fetcher.fetch)
    return f"{fetcher.name}: {source}, every {fetcher.every_s:g} s"

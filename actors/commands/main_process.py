"""The main process, from the start of the root to the exit code.

Apart from ``run``, since ``join`` runs one as well, and claims other things for it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.commands.dump import dump
from actors.commands.exit_codes import Exit
from actors.commands.left import left_by_fetcher, left_in_journal, next_number
from actors.flow.pulse import Pulse
from actors.flow.restarts import Restarts
from actors.runtime import dumps, logs, processes
from actors.runtime.changes import Changes
from actors.runtime.control import ControlError, send
from actors.runtime.journal_file import JournalDamagedError
from actors.runtime.number_server import NumberServer, NumberServerError
from actors.runtime.reports import read_reports
from actors.runtime.service_manager import feed_watchdog, notify, watchdog_s
from actors.runtime.settings import unknown_variables
from actors.runtime.system import RunningSystem, wait_for_end
from actors.runtime.web_process import WebError, WebProcess
from actors.stages import wire
from actors.stages.messages import StartSystem
from actors.stages.root import RootActor

if TYPE_CHECKING:
    from threading import Thread

    from structlog.typing import FilteringBoundLogger

    from actors.runtime.config import SystemConfig
    from actors.runtime.seam import Stage
    from actors.runtime.state_dir import SystemFiles

#: The root's name in the log.
_ROOT = "root"
_SIGNALS = (
    *(signal.SIGINT, signal.SIGTERM),
    *(signal.SIGTSTP, signal.SIGCONT, signal.SIGUSR1),
)
#: How long a root that cannot be reached may take to be known as dead, in seconds.
ENDS_WITHIN_S = 1.0
#: How long until a page whose port was taken meanwhile is tried again, in seconds.
WEB_AGAIN_S = 2.0
#: How long the log may take to be read at the end, in seconds.
LOG_WITHIN_S = 1.0


class StartError(Exception):
    """The system cannot be started as it is asked for."""


@dataclass(slots=True)
class Main:
    """The process at the top: starts the root, watches it, and ends with it."""

    config: SystemConfig
    files: SystemFiles
    numbers: NumberServer | None = None
    system: RunningSystem | None = None
    reports: int = -1
    signals: int = -1
    root: int | None = None
    root_pid: int | None = None
    restarts: Restarts = field(default_factory=Restarts)
    root_start_at: float | None = None
    report_writer: int = -1
    report_fd: int = -1
    exit_code: int | None = None
    stopping: bool = False
    told_stopping: bool = False
    paused: bool = False
    started: bool = False
    changes: Changes = field(default_factory=Changes)
    accounting: dict[str, int] = field(default_factory=dict)
    web: WebProcess | None = None
    web_restarts: Restarts = field(default_factory=Restarts)
    web_start_at: float | None = None
    pipe: logs.LogPipe = field(default_factory=logs.open_pipe)
    pump: Thread | None = None
    log: FilteringBoundLogger = field(init=False)
    pulse: Pulse = field(init=False)

    def run(self) -> int:
        """Start, and go on until it ends; returns the exit code."""
        self.pulse = Pulse(self.config.lease_s)
        self._start()
        while self.exit_code is None:
            watched = [self.reports, self.signals]
            watched += [self.root] if self.root is not None else []
            watched += [self.web.fd] if self.web is not None else []
            for fd in select.select(watched, [], [], self._wait_s())[0]:
                if fd == self.signals:
                    self._signalled()
                elif fd == self.reports:
                    self._reported()
                elif fd == self.root:
                    self._root_died()
                elif self.web is not None and fd == self.web.fd:
                    self._web_died(self.web)
            self._tick(time.monotonic())
        self.log.info(
            "system.stopped", accounting=self.accounting, exit_code=int(self.exit_code)
        )
        return self.exit_code

    def _wait_s(self) -> float | None:
        times = [self.pulse.next_tick(), self.root_start_at, self.web_start_at]
        known = [each for each in times if each is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _tick(self, now: float) -> None:
        if self.root_start_at is not None and now >= self.root_start_at:
            self.root_start_at = None
            self._start_root(self.report_fd)
        if self.web_start_at is not None and now >= self.web_start_at:
            self._restart_web()
        if self.pulse.silent(now):
            self._root_silent()
        self.pulse.due(now)

    def clean_up(self) -> None:
        """Leave no process, whatever happened."""
        if self.system is not None:
            self.system.kill()
        if self.report_writer >= 0:
            os.close(self.report_writer)
        if self.reports >= 0 and not wait_for_end(self.reports):
            self.log.error("system.left_over", hint="a process did not end")
        if self.numbers is not None:
            self.numbers.stop()
        if self.web is not None:
            self.web.stop()
        self.files.socket.unlink(missing_ok=True)
        if self.pump is not None:
            self.pipe.finish(self.pump, LOG_WITHIN_S)

    def _start(self) -> None:
        # The number server starts while the actor system does; no thread and no
        # signal handler is there before the fork.
        if self.config.needs_number_server:
            self.numbers = NumberServer(next_number(self.config))
        dumps.prepare(self.files.dump)
        self.reports, self.report_writer = os.pipe()
        self.system = RunningSystem(
            self.config.port, str(self.files.thespian_log), wire.ADMITTED
        )
        log_format = self.config.log_format or logs.default_format()
        self.pump = logs.pump(self.pipe, sys.stderr, log_format)
        self.log = logs.configure(self.config.log_level)
        self.signals = _catch_signals()
        for variable in unknown_variables(os.environ):
            self.log.warning("config.unknown_variable", variable=variable)
        if self.numbers is not None:
            self._use_bundled_source(self.numbers)
        self._start_web()
        report_writer, self.report_writer = self.report_writer, -1
        self._start_root(report_writer)
        os.close(report_writer)

    def _start_root(self, report_fd: int) -> None:
        assert self.system is not None  # noqa: S101 - it was started before
        self.report_fd = report_fd
        self.root_pid = None
        self.system.start_root(*self.root_stage(report_fd))
        self.pulse.begin(_ROOT, time.monotonic())

    def root_stage(self, report_fd: int) -> tuple[type[Stage], Any]:
        """What supervises the rest, and the first message that it gets."""
        start = StartSystem(
            config=self.changes.over(self.config),
            incarnation=secrets.token_hex(4),
            report_fd=report_fd,
            control_socket=str(self.files.socket),
            paused=self.changes.paused,
            draining=self.changes.draining,
        )
        return RootActor, start

    def _start_web(self) -> None:
        if self.config.web is None:
            return
        try:
            self.web = WebProcess(self.config, self.files.socket, self.pipe.writer)
        except WebError as error:
            raise StartError(str(error)) from error

    def _web_died(self, web: WebProcess) -> None:
        # The page is there to look at the system, never to end it.
        web.stop()
        self.web = None
        now = time.monotonic()
        delay = self.web_restarts.exited(now)
        self.log.error("stage.exited", stage="web", restart_in_s=delay)
        self.web_start_at = None if delay is None else now + delay

    def _restart_web(self) -> None:
        self.web_start_at = None
        try:
            self._start_web()
        except StartError as error:
            # Its port may be taken for a while: asked for as long as the system runs.
            self.log.warning("web.failed", error=str(error), restart_in_s=WEB_AGAIN_S)
            self.web_start_at = time.monotonic() + WEB_AGAIN_S

    def _use_bundled_source(self, numbers: NumberServer) -> None:
        try:
            self.config = self.config.with_url(numbers.url())
        except NumberServerError as error:
            raise StartError(str(error)) from error

    def _reported(self) -> None:
        reports, ended = read_reports(self.reports)
        for report in reports:
            self._act_on(report)
        if ended and self.exit_code is None:
            self.log.error("system.failed", error="all processes of the system ended")
            self.exit_code = Exit.FAILURE

    def _act_on(self, report: dict[str, Any]) -> None:
        if self.changes.heard(report):
            self._changed()
            return
        match report["report"]:
            case "alive":
                self._root_is_there(report["pid"])
            case "beat":
                self.pulse.heard(_ROOT, time.monotonic())
            case "started":
                self._started()
            case "failed":
                raise StartError(report["error"])
            case "fatal":
                self.log.error("system.failed", error=report["error"])
                self.exit_code = Exit.RESTARTS_EXCEEDED
            case "stopped":
                self.accounting = report["accounting"]
                # A fetcher that hangs has not said what it has; the journal does.
                left = report["left"] or left_in_journal(self.config)
                self.exit_code = Exit.JOBS_LEFT if left else Exit.NOTHING_LEFT
            case other:
                raise AssertionError(other)

    def _changed(self) -> None:
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
            self.tell_started()
            notify("READY=1", f"MAINPID={os.getpid()}")
            if (within_s := watchdog_s()) is not None:
                feed_watchdog(self.files.socket, within_s)
        if self.stopping:
            self._stop()

    def _root_is_there(self, pid: int) -> None:
        self.root_pid = pid
        try:
            self.root = os.pidfd_open(pid)
        except ProcessLookupError:
            self._root_died()

    def _root_died(self) -> None:
        if self.root is not None:
            os.close(self.root)
        self.root = None
        self.pulse.end(_ROOT)
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
        self.pulse.end(_ROOT)
        self.log.error("stage.silent", stage=_ROOT, pid=self.root_pid)
        if self.root is None or self.root_pid is None:
            self._root_died()  # before it could say that it is there
        else:
            processes.kill(self.root_pid)

    def _signalled(self) -> None:
        numbers = set(os.read(self.signals, 64))
        if signal.SIGUSR1 in numbers:
            dump(self.files, self.root_pid, self.log)
        if signal.SIGTSTP in numbers:
            self._pause(paused=True)
        # A shell that takes it to the foreground sends this one as well.
        if signal.SIGCONT in numbers and self.paused:
            self._pause(paused=False)
        if not numbers & {signal.SIGINT, signal.SIGTERM}:
            return
        if self.stopping:
            self.exit_code = Exit.FORCED
            return
        self.stopping = True
        self._tell_stopping()
        if not self.started:
            left = left_in_journal(self.config)
            self.exit_code = Exit.JOBS_LEFT if left else Exit.NOTHING_LEFT
        elif self.root is not None:
            self._stop()

    def _pause(self, *, paused: bool) -> None:
        try:
            send(self.files.socket, {"verb": "pause" if paused else "resume"})
        except ControlError as error:
            self.log.warning("system.not_told", error=str(error))
        else:
            self.paused = paused

    def _stop(self) -> None:
        try:
            send(self.files.socket, {"verb": "stop"})
        except ControlError as error:
            assert self.root is not None  # noqa: S101 - else it is not asked
            if select.select([self.root], [], [], ENDS_WITHIN_S)[0]:
                return  # it has just died: the next one is told once it is there
            self.log.exception("system.failed", error=str(error))
            self.exit_code = Exit.FAILURE

    def _tell_unclaimed(self) -> None:
        # Somebody renamed a fetcher, perhaps: its jobs wait for one of that name.
        names = {each.name for each in self.config.fetchers}
        with contextlib.suppress(JournalDamagedError):
            for name, count in left_by_fetcher(self.config).items():
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
            journal=self.config.journal or "none",
            web=self.web.url if self.web else "none",
            bind=self.config.bind or "none",
            promise=_promise(self.config),
            hint="Ctrl-C drains, a second one stops at once",
        )
        self._tell_unclaimed()


def _promise(config: SystemConfig) -> str:
    if config.journal is None:
        return "in memory only: what a fetcher holds is lost if its process dies"
    return "nothing is lost once it is fetched; a job may run again after a crash"


def _source_of(fetcher: Any) -> str:
    source = fetcher.options.get("url", fetcher.fetch)
    return f"{fetcher.name}: {source}, every {fetcher.every_s:g} s"


def _catch_signals() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    # A terminal that is closed does not end what other terminals look at.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader

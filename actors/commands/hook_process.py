"""The process of hooks as the main process has it: started, watched, started again."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from actors.config.show import secrets_of
from actors.demand.backoff import Backoff
from actors.hooks import event_queue, spans
from actors.hooks.events import STEP, event_of_line
from actors.host import forks
from actors.host.ready_process import ReadyProcess, secret_file

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.config.model import SystemConfig
    from actors.host.forks import HasDescriptor

#: Until it is started again: twice as long each time that it died soon.
AGAIN = Backoff(base_s=1.0, cap_s=60.0)
#: One that lived for so long did not die soon, in seconds.
SOON_S = 60.0
#: How long it may take for what it has at the end, in seconds: functions get two, then
#: people are told what is left, by servers that may take their time.
LAST_S = 10.0


class HookProcess:
    """Never ends the system, nor holds it up: only events may be lost with it.

    Attributes:
        start_at: When to start it again, in monotonic seconds.
    """

    def __init__(
        self, config: SystemConfig, log_fd: int, program: HasDescriptor | None
    ) -> None:
        """Make the way for events; what is forked later has it.

        Args:
            config: Names the hooks.
            log_fd: Where lines of the log go.
            program: The socket to the program whose callbacks are called.
        """
        self._config = config
        self._log_fd = log_fd
        self._program = program
        wanted, self._seed = config.hooked, None
        if any(spans.TRACER in names for names in config.hooks.values()):
            self._seed = spans.trace(each.name for each in config.fetchers)
            wanted |= {STEP}
        self._way = event_queue.open_way(wanted)
        self._process: ReadyProcess | None = None
        self._began = 0.0
        self._deaths = 0
        self.start_at: float | None = None

    @property
    def fds(self) -> list[int]:
        """What can be read once it has ended."""
        return [] if self._process is None else [self._process.fd]

    def start(self) -> None:
        """Start it; it says by itself that it cannot."""
        self.start_at = None
        asked: dict[str, Any] = {
            "hooks": {
                event: [*names] for event, names in self._config.all_hooks.items()
            },
            "notify": [*(self._config.notify or ())],
            "trace": self._seed,
            "program": None,
            "log_level": self._config.log_level,
            "secrets": [*secrets_of(self._config)],
        }
        fds = [self._way.fileno(), self._log_fd]
        if self._program is not None:
            asked["program"] = self._program.fileno()
            fds.append(self._program.fileno())
        with secret_file(json.dumps(asked)) as asked_fd:
            words = ["--events-fd", str(fds[0]), "--log-fd", str(self._log_fd)]
            words += ["--asked-fd", str(asked_fd)]
            passed = (*fds, asked_fd)
            with forks.of_ours():  # what is kept from forks of others is for this one
                self._process = ReadyProcess("actors.hooks", words, pass_fds=passed)
        self._began = time.monotonic()

    def died(self, log: FilteringBoundLogger) -> None:
        """See to its end: it is started again."""
        if self._process is None:
            return
        why = self._process.last_words()
        self._process.stop()
        self._process = None
        now = time.monotonic()
        if now - self._began >= SOON_S:
            self._deaths = 0
        self._deaths += 1
        delay = AGAIN.longest_s(self._deaths)
        log.error("stage.exited", stage="hooks", error=why, restart_in_s=delay)
        self.start_at = now + delay

    def tell_lines(self, lines: bytes) -> None:
        """Tell of what the log tells, where that is for hooks."""
        if any(each in lines for each in _OF_SYSTEM):
            for line in lines.splitlines():
                self._tell_line(line)

    def _tell_line(self, line: bytes) -> None:
        fields: Any = None
        with contextlib.suppress(ValueError):
            fields = json.loads(line)
        event = event_of_line(fields, time.time()) if isinstance(fields, dict) else None
        if event is not None:
            event_queue.tell(event)

    def close(self) -> None:
        """Let it have what was sent, and end it."""
        event_queue.close_way()
        spans.trace_no_more()
        if self._process is not None:
            self._process.wait(LAST_S)
            self._process.stop()
        self._way.close()


#: What is in each line that may be for hooks: the others are not looked at.
_OF_SYSTEM = (b'"faulted"', b'"stage.fatal"', b'"system.failed"')

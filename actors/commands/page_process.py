"""The page as its system has it: started, watched, started again."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from actors.commands.start_error import StartError
from actors.config.show import secrets_of
from actors.host.ready_process import NotServingError, ReadyProcess, secret_file
from actors.supervision.children import Restarts

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from actors.config.model import SystemConfig

#: How long until a page whose port was taken meanwhile is tried again, in seconds.
AGAIN_S = 2.0
#: Where its log goes if no process gathers it.
_STANDARD_ERROR = 2


class PageProcess:
    """The page is there to look at the system, never to end it.

    Attributes:
        start_at: When to start it again, in monotonic seconds.
    """

    def __init__(
        self, config: SystemConfig, socket: Path, log_fd: int = _STANDARD_ERROR
    ) -> None:
        """Note what it shows; nothing is started yet.

        Args:
            config: Of the system; without a port for it there is no page.
            socket: Where the system answers.
            log_fd: Where its log goes.
        """
        self._config = config
        self._socket = socket
        self._log_fd = log_fd
        self._process: ReadyProcess | None = None
        self._restarts = Restarts()
        self.start_at: float | None = None

    @property
    def fds(self) -> list[int]:
        """What can be read once it has ended."""
        return [] if self._process is None else [self._process.fd]

    @property
    def url(self) -> str | None:
        """Where it is served; None where it is not."""
        return None if self._process is None else self._process.url()

    def start(self) -> None:
        """Start it, if it is wanted.

        Raises:
            StartError: It cannot be served.
        """
        config = self._config
        if config.web is None:
            return
        words = ["--port", str(config.web), "--socket", str(self._socket)]
        words += ["--log-fd", str(self._log_fd), "--log-level", config.log_level]
        env = os.environ | {"LOWTIDE_WEB_TOKEN": config.web_token or ""}
        # With its password, which the root tells nobody.
        env["LOWTIDE_JOURNAL"] = config.journal or "none"
        # Not among its words, which everybody may read.
        with secret_file(json.dumps([*secrets_of(config)])) as secrets_fd:
            words += ["--secrets-fd", str(secrets_fd)]
            fds = {self._log_fd, secrets_fd} - {_STANDARD_ERROR}
            process = ReadyProcess("actors.web", words, env=env, pass_fds=(*fds,))
        try:
            process.url()
        except NotServingError as error:
            process.stop()
            where = f"the page cannot be served at port {config.web}"
            raise StartError(f"{where}: {error}") from error
        self._process = process

    def died(self, log: FilteringBoundLogger) -> None:
        """See to its end: it is started again."""
        self.close()
        now = time.monotonic()
        delay = self._restarts.exited(now)
        log.error("stage.exited", stage="web", restart_in_s=delay)
        self.start_at = None if delay is None else now + delay

    def start_again(self, log: FilteringBoundLogger) -> None:
        """Start it; its port may be taken for a while, so it is tried for ever."""
        self.start_at = None
        try:
            self.start()
        except StartError as error:
            log.warning("web.failed", error=str(error), restart_in_s=AGAIN_S)
            self.start_at = time.monotonic() + AGAIN_S

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

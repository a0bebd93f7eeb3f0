"""The web process, as the main process holds it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

from actors.host import ready_process

if TYPE_CHECKING:
    from pathlib import Path

    from actors.config.model import SystemConfig


class WebError(Exception):
    """The web page cannot be served."""


class WebProcess:
    """Serves the page of one system, in a process of its own.

    Raises:
        WebError: It cannot listen at its port, or said nothing in time.
    """

    def __init__(self, config: SystemConfig, socket: Path, log_fd: int) -> None:
        words = ["--port", str(config.web), "--socket", str(socket)]
        words += ["--log-fd", str(log_fd), "--log-level", config.log_level]
        token = {"LOWTIDE_WEB_TOKEN": config.web_token or ""}
        self._process = ready_process.start(
            "actors.web", words, env=os.environ | token, pass_fds=(log_fd,)
        )
        self.fd = os.pidfd_open(self._process.pid)
        try:
            self.url = self._wait_until_ready(config.web)
        except WebError:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._process.kill()
        self._process.wait()
        os.close(self.fd)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _wait_until_ready(self, port: int | None) -> str:
        try:
            return ready_process.url_of(self._process)
        except ready_process.NotServingError as error:
            raise WebError(
                f"the page cannot be served at port {port}: {error}"
            ) from error

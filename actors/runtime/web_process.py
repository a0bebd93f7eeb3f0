"""The web process, as the main process holds it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from actors.runtime.processes import die_with_parent

if TYPE_CHECKING:
    from pathlib import Path

    from actors.runtime.config import SystemConfig

#: How long it may take to say where it listens, in seconds.
READY_WITHIN_S = 10.0


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
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-m", "actors.web", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | token,
            pass_fds=(log_fd,),
            # Ctrl-C is for the system; who watches sees its drain to the end.
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
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
        out = self._process.stdout
        assert out is not None  # noqa: S101 - it is a pipe
        ready, _, _ = select.select([out], [], [], READY_WITHIN_S)
        line = out.readline().decode().strip() if ready else ""
        url = line.rpartition(" ")[2]
        if not url.startswith("http"):
            why = line.removeprefix("error: ") or "its process did not start"
            raise WebError(f"the page cannot be served at port {port}: {why}")
        return url

"""The bundled demo API, started when no URL is given."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from functools import partial

from actors.runtime.processes import die_with_parent

#: How long it may take to say where it listens, in seconds.
READY_WITHIN_S = 10.0


class NumberServerError(Exception):
    """The bundled number server did not start."""


class NumberServer:
    """A number server of this process's own, on a free loopback port."""

    def __init__(self, first_id: int = 1) -> None:
        # A session of its own: Ctrl-C is for the system, which needs its source
        # until the fetch that runs has ended.
        words = ["--port", "0", "--first-id", str(first_id)]
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "number_server", *words],
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
        )

    def url(self) -> str:
        """Where it listens, once it does.

        Raises:
            NumberServerError: It ended, or said nothing in time.
        """
        out = self._process.stdout
        assert out is not None  # noqa: S101 - it is a pipe
        ready, _, _ = select.select([out], [], [], READY_WITHIN_S)
        line = out.readline().decode() if ready else ""
        url = line.strip().rpartition(" ")[2]
        if not url.startswith("http"):
            raise NumberServerError("the bundled number server did not start")
        return url

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

"""The bundled demo API, started when no URL is given."""

from __future__ import annotations

import contextlib
import subprocess

from actors.host import ready_process


class NumberServerError(Exception):
    """The bundled number server did not start."""


class NumberServer:
    """A number server of this process's own, on a free loopback port."""

    def __init__(self, first_id: int = 1) -> None:
        words = ["--port", "0", "--first-id", str(first_id)]
        self._process = ready_process.start("number_server", words)

    def url(self) -> str:
        """Where it listens, once it does.

        Raises:
            NumberServerError: It ended, or said nothing in time.
        """
        try:
            return ready_process.url_of(self._process)
        except ready_process.NotServingError as error:
            raise NumberServerError(f"the bundled number server: {error}") from error

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

"""The real server, as a process of its own."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]


class Running:
    """A number server, and a connection to it."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "number_server", "--port", "0", *options]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        url = urlsplit(self.greeting.split()[-1])
        self.address = (url.hostname or "", url.port or 0)
        self.connection = http.client.HTTPConnection(*self.address, timeout=30)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Return the status of the answer, and its payload."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, names)
        response = self.connection.getresponse()
        content = response.read()
        self.last_headers = response.headers
        return response.status, json.loads(content) if content else None

    def stop(self) -> tuple[int, str]:
        """Return the exit code, and what was said on standard error."""
        self.connection.close()
        self.process.terminate()
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


Run = Callable[..., Running]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start number servers, which generate nothing unless told to."""
    with ExitStack() as stack:

        def start(*options: str) -> Running:
            server = Running("--every", "0", *options)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="module")
def refusing() -> Iterator[Running]:
    """Run one server for all the tests whose requests change nothing."""
    server = Running("--every", "0")
    yield server
    server.stop()

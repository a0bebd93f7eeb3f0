"""A Redis server of the benchmark's own."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from actors.host.ports import free_port
from benchmarks.environment import SkippedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_WITHIN_S = 10
#: What Redis keeps. As it comes: a snapshot now and then. Synced: every write.
AS_IT_COMES: tuple[str, ...] = ()
SYNCED = ("--appendonly", "yes", "--appendfsync", "always")


@contextlib.contextmanager
def redis_server(directory: Path, keeping: tuple[str, ...]) -> Iterator[str]:
    """A Redis server on a port of its own on loopback; yields its URL.

    Raises:
        SkippedError: There is none on this machine, or it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise SkippedError("skipped: no redis-server; apt-get install redis-server")
    port = free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", "."]
    server = subprocess.Popen(
        [*words, *keeping], stdout=subprocess.DEVNULL, cwd=directory
    )
    try:
        _wait_for(server, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def redis_version() -> str:
    """Of the server on this machine; empty without one."""
    if (program := shutil.which("redis-server")) is None:
        return ""
    done = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"v=(\S+)", done.stdout)
    return f"Redis {found[1]}" if found else ""


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise SkippedError("skipped: redis-server does not start")
        time.sleep(0.01)

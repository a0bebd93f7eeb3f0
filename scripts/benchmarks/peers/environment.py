"""An environment for each peer, made once in a cache directory, and a Redis server."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from actors.runtime.system import free_port
from benchmarks.model import MeasureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.peers.catalogue import Peer

INSTALL_WITHIN_S = 300
START_WITHIN_S = 10
#: What Redis keeps. As it comes: a snapshot now and then. Synced: every write.
AS_IT_COMES: tuple[str, ...] = ()
SYNCED = ("--appendonly", "yes", "--appendfsync", "always")


class SkippedError(MeasureError):
    """The peer cannot be measured here."""


@cache
def programs(requirements: tuple[str, ...]) -> Path:
    """The directory of an environment's programs, installed if it is missing.

    Raises:
        SkippedError: It cannot be installed.
    """
    digest = hashlib.sha256("\n".join((sys.version, *requirements)).encode())
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(cached, "lowtide-bench", digest.hexdigest()[:12])
    if not (directory / "installed").exists():
        shutil.rmtree(directory, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(directory))
        pip = (str(directory / "bin" / "pip"), "install", "--quiet")
        _run(*pip, "--disable-pip-version-check", *requirements)
        (directory / "installed").touch()
    return directory / "bin"


def version(peer: Peer) -> str:
    """The version that is measured."""
    name = peer.requirements[0].partition(">")[0].partition("[")[0]
    python = str(programs(peer.requirements) / "python")
    words = f"from importlib.metadata import version; print(version({name!r}))"
    return _run(python, "-c", words).strip()


def _run(*words: str) -> str:
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SkippedError(f"skipped: cannot be installed: {error}") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason told"]
        raise SkippedError(f"skipped: cannot be installed: {last[0]}")
    return done.stdout


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


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise SkippedError("skipped: redis-server does not start")
        time.sleep(0.01)

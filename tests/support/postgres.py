"""A PostgreSQL server of the tests' own, from the binaries that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

#: Where distributions have the server's binaries; they are not on the path.
_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def missing() -> str | None:
    """Why there can be no server; None where there can."""
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError:
        return "psycopg is not installed (extra postgres)"
    if _binary("initdb") is None:
        return "PostgreSQL's server is not installed"
    if os.geteuid() == 0 and _user() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def _binary(name: str) -> str | None:
    return next(
        (str(each / name) for each in _PLACES if (each / name).exists()),
        shutil.which(name),
    )


def _user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


class Server:
    """A cluster in a directory of its own, on a Unix socket and a loopback port.

    Attributes:
        directory: Where everything of it is; its sockets as well.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.directory = Path(tempfile.mkdtemp(prefix="lowtide-pg-", dir="/tmp"))
        self._words: list[str] = []
        if os.geteuid() == 0:
            user = _user()
            assert user is not None
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._words = ["runuser", "-u", "postgres", "--"]
        self.data = self.directory / "data"
        words = ("-U", "lowtide", "-A", "trust", "-N", "-E", "UTF8", "-D")
        self.run("initdb", *words, str(self.data))
        self.start()

    def run(self, name: str, *words: str, check: bool = True) -> None:
        """Run one of the server's programs."""
        binary = _binary(name)
        assert binary is not None
        done = subprocess.run(
            [*self._words, binary, *words],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            log = self.directory / "log"
            more = log.read_text() if log.exists() else ""
            raise AssertionError(f"{name}: {done.stdout}{done.stderr}{more}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # No power is cut here: a server that is killed loses nothing without.
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 "
        options += "-c fsync=off -c full_page_writes=off"
        words = ("-w", "-t", "60", "-D", str(self.data), "-l", f"{self.directory}/log")
        self.run("pg_ctl", *words, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it, ``immediate`` as a crash does."""
        words = ("-w", "-t", "60", "-D", str(self.data), "-m", mode)
        self.run("pg_ctl", *words, "stop", check=False)

    @property
    def pid(self) -> int:
        """The first of its processes."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def pids(self) -> list[int]:
        """All of its processes, the first one first."""
        words = ["ps", "-o", "pid=", "--ppid", str(self.pid)]
        children = subprocess.run(words, capture_output=True, text=True, check=False)
        return [self.pid, *map(int, children.stdout.split())]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        for pid in self.pids():
            os.kill(pid, number)

    def url(self, database: str = "postgres") -> str:
        """Where it answers, over TCP."""
        return f"postgresql://lowtide@127.0.0.1:{self.port}/{database}"

    def empty(self, name: str) -> str:
        """Have a database with nothing of ours in it; returns its URL."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect(self.url(), autocommit=True) as db:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not db.execute(known, (name,)).fetchone():
                db.execute(f'CREATE DATABASE "{name}"')
        with psycopg.connect(self.url(name), autocommit=True) as db:
            db.execute("SET client_min_messages = warning")
            db.execute("DROP SCHEMA IF EXISTS lowtide CASCADE")
        return self.url(name)

    def remove(self) -> None:
        """End it and leave nothing."""
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)


def server_or_skip(port: int) -> Server:
    """A server that runs; the test is skipped with the reason where none can."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    return Server(port)

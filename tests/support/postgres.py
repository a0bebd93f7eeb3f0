"""A PostgreSQL server of the tests' own, from the binaries that are installed."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from actors.testing.processes import wait_until

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
        words: By which its programs are run as its user.

    Args:
        port: Where it listens.
        address: Likewise.
        of: What it is a replica of, if it is one.
        place: Where its directory is made; a short path, of its sockets.
        syncs: Whether a commit waits for the disk. No test cuts the power: a server
            that is killed loses nothing without.
    """

    def __init__(
        self,
        port: int,
        address: str = "127.0.0.1",
        of: Server | None = None,
        *,
        place: str = "/tmp",  # noqa: S108 - a directory of its own is made in it
        syncs: bool = False,
    ) -> None:
        self.port = port
        self.address = address
        self.directory = Path(tempfile.mkdtemp(prefix="lowtide-pg-", dir=place))
        self.words: list[str] = []
        self._syncs = "on" if syncs else "off"
        if os.geteuid() == 0:
            user = _user()
            assert user is not None
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            # An ordinary user's path has no place for it.
            everywhere = f"{os.environ['PATH']}:/usr/sbin:/sbin"
            runuser = shutil.which("runuser", path=everywhere)
            assert runuser is not None
            self.words = [runuser, "-u", "postgres", "--"]
        self.data = self.directory / "data"
        if of is not None:
            copied = ("-R", "-X", "stream", "-c", "fast", "-d", of.url())
            self.run("pg_basebackup", *copied, "-D", str(self.data))
            self.start()
            return
        words = ("-U", "lowtide", "-A", "trust", "-N", "-E", "UTF8", "-D")
        self.run("initdb", *words, str(self.data))
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all,replication all {address}/24 trust\n")
        self.start()

    def run(self, name: str, *words: str, check: bool = True) -> None:
        """Run one of the server's programs."""
        binary = _binary(name)
        assert binary is not None
        done = subprocess.run(
            [*self.words, binary, *words],
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

    def start(self, more: str = "") -> None:
        """Start it, and wait until it answers."""
        options = (
            f"-p {self.port} -k {self.directory} -c listen_addresses={self.address} "
        )
        options += f"-c fsync={self._syncs} -c full_page_writes={self._syncs} "
        options += "-c max_connections=300"
        options += f" {more}"
        words = ("-w", "-t", "60", "-D", str(self.data), "-l", f"{self.directory}/log")
        self.run("pg_ctl", *words, "-o", options, "start")

    def promote(self) -> None:
        """Have a replica take writes."""
        self.run("pg_ctl", "-w", "-t", "60", "-D", str(self.data), "promote")

    def wait_for_replicas(self) -> None:
        """Have each commit wait for a replica, from now on; it is there already."""
        import psycopg  # noqa: PLC0415

        with psycopg.connect(self.url(), autocommit=True) as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            db.execute("SELECT pg_reload_conf()")

            def is_synchronous() -> bool:
                query = "SELECT sync_state FROM pg_stat_replication"
                return bool(db.execute(query).fetchall() == [("sync",)])

            wait_until(is_synchronous, "the replica is synchronous")

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
        return [self.pid, *_children_of(self.pid)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to each of its processes."""
        for pid in self.pids():
            os.kill(pid, number)

    def url(self, database: str = "postgres") -> str:
        """Where it answers, over TCP."""
        return f"postgresql://lowtide@{self.address}:{self.port}/{database}"

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
        if not self.directory.exists():
            return  # once more
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)


def server_or_skip(port: int, address: str = "127.0.0.1") -> Server:
    """A server that runs; the test is skipped with the reason where none can."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    return Server(port, address)


class Pool:
    """A pgbouncer in front of a server, in transaction mode.

    It has fewer sessions than it has clients: what relies on one meets another's.
    """

    def __init__(self, server: Server, port: int) -> None:
        self.port = port
        self._server = server
        binary = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        file = server.directory / "pgbouncer.ini"
        file.write_text(
            "[databases]\n"
            f"* = host={server.address} port={server.port} user=lowtide\n"
            "[pgbouncer]\n"
            f"listen_addr = {server.address}\nlisten_port = {port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
            "reserve_pool_size = 6\nreserve_pool_timeout = 1\n"
            "server_login_retry = 1\nquery_wait_timeout = 20\nmax_client_conn = 200\n"
        )
        self._program = subprocess.Popen(
            [*server.words, binary, "-q", str(file)], cwd=server.directory
        )

    def url(self, direct: str) -> str:
        """The pool's, of a database of the server's."""
        return direct.replace(f":{self._server.port}/", f":{self.port}/")

    def empty(self, name: str) -> str:
        """Have a database with nothing of ours in it; returns its URL at the pool."""
        return self.url(self._server.empty(name))

    def close(self) -> None:
        """End it."""
        for pid in _children_of(self._program.pid):
            os.kill(pid, signal.SIGKILL)
        self._program.kill()
        self._program.wait()


def _children_of(pid: int) -> list[int]:
    words = ["ps", "-o", "pid=", "--ppid", str(pid)]
    children = subprocess.run(words, capture_output=True, text=True, check=False)
    return [*map(int, children.stdout.split())]


def pool_or_skip(server: Server, port: int) -> Pool:
    """A pool that answers; the test is skipped with the reason where there is none."""
    import psycopg  # noqa: PLC0415

    if not (shutil.which("pgbouncer") or Path("/usr/sbin/pgbouncer").exists()):
        pytest.skip("pgbouncer is not installed")
    pool = Pool(server, port)

    def answers() -> bool:
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(pool.url(server.url()), connect_timeout=5).close()
            return True
        return False

    wait_until(answers, "pgbouncer answers")
    return pool

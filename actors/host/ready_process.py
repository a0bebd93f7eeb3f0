"""Programs of ours that the main process starts, which run none of the user's code.

They are found where this package is, whatever lies in the working directory, and
say on standard output where they serve, or what keeps them from it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING

from actors.host.linux import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: How long one that does nothing may take to say where it serves, in seconds.
SAYS_WITHIN_S = 5.0
#: And one that works, as on a machine that is busy.
LONGEST_S = 30.0
#: What keeps it from beginning is its first line.
_BEGIN = """
import sys
sys.path.insert(0, sys.argv[1])
name = sys.argv[2]
del sys.argv[1:3]
try:
    import runpy
    runpy.run_module(name, run_name="__main__", alter_sys=True)
except Exception as error:
    print(f"error: {type(error).__name__}: {error}", flush=True)
    sys.exit(1)
"""
_HOME = Path(__file__).parents[2]


def number_server() -> str:
    """The module of the bundled number server: in a clone it stands at the top."""
    installed = (_HOME / "domain" / "number_server.py").is_file()
    return "domain.number_server" if installed else "number_server"


class NotServingError(Exception):
    """It does not serve; the text says why."""


class ReadyProcess:
    """One of them, from its start to its end.

    Attributes:
        fd: Can be read once it has ended.
    """

    def __init__(
        self,
        module: str,
        words: list[str],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self._program = start(module, words, env=env, pass_fds=pass_fds)
        self.fd = os.pidfd_open(self._program.pid)
        self._url = ""

    def url(self) -> str:
        """Where it serves, once it does.

        Raises:
            NotServingError: It ended, or does nothing.
        """
        self._url = self._url or url_of(self._program)
        return self._url

    def last_words(self) -> str | None:
        """What it said when it could not begin; only for one that has ended."""
        out = self._program.stdout
        line = (
            b""
            if out is None or not select.select([out], [], [], 0.0)[0]
            else (out.readline())
        )
        return line.decode(errors="replace").strip().removeprefix("error: ") or None

    def wait(self, within_s: float) -> None:
        """Wait until it has ended, or this many seconds."""
        with contextlib.suppress(TimeoutExpired):
            self._program.wait(within_s)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._program.terminate()
        with contextlib.suppress(TimeoutExpired):
            self._program.wait(2.0)
        self._program.kill()
        self._program.wait()
        os.close(self.fd)
        if self._program.stdout is not None:
            self._program.stdout.close()


@contextlib.contextmanager
def secret_file(text: str) -> Iterator[int]:
    """A file without a name, for a program to inherit; closed here afterwards."""
    fd = os.memfd_create("lowtide")
    try:
        with open(fd, "w", closefd=False) as file:
            file.write(text)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def start(
    module: str,
    words: list[str],
    *,
    env: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Popen[bytes]:
    """Start one, in a session of its own: Ctrl-C is for the system."""
    return Popen(  # noqa: S603 - our own words
        [sys.executable, "-P", "-c", _BEGIN, str(_HOME), module, *words],
        stdout=PIPE,
        env=None if env is None else dict(env),
        pass_fds=pass_fds,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
    )


def url_of(program: Popen[bytes]) -> str:
    """Where it serves, once it does.

    Raises:
        NotServingError: It ended, or does nothing.
    """
    line = _first_line(program)
    url = line.rpartition(" ")[2]
    if not url.startswith("http"):
        why = line.removeprefix("error: ")
        raise NotServingError(why or "its process did not start")
    return url


def _first_line(program: Popen[bytes]) -> str:
    out = program.stdout
    assert out is not None  # noqa: S101 - it is a pipe
    end = time.monotonic() + LONGEST_S
    worked = _cpu_ticks(program.pid)
    while time.monotonic() < end:
        if select.select([out], [], [], SAYS_WITHIN_S)[0]:
            return out.readline().decode(errors="replace").strip()
        if (now := _cpu_ticks(program.pid)) <= worked:
            break
        worked = now
    return ""


def _cpu_ticks(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    user, system = stat.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)

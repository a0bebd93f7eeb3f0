"""Where a running system keeps its lock, its control socket and Thespian's log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from actors.host import file_lock, forks
from actors.host.file_lock import described, holder_of
from actors.host.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIVATE = 0o700
#: What systems, and the requests of their sources, keep there.
_OURS = re.compile(
    r"\d+\.(?:lock|sock|actors|dump|thespian\.log)$|(?:requests|token)-|"
    r"lost\+found$"  # a volume of its own has it
)


class StateDirError(Exception):
    """The state directory cannot be used."""


class AlreadyRunningError(Exception):
    """Another system has this port."""


def state_dir() -> Path:
    """The directory of this user's systems, made if it is missing.

    ``LOWTIDE_STATE_DIR``, else ``lowtide`` in ``XDG_RUNTIME_DIR``, else a
    directory with the user's id in the directory for temporary files, or where
    somebody else has taken that name, one with random letters behind it.

    Raises:
        StateDirError: It cannot be made, or belongs to somebody else.
    """
    if not hasattr(os, "getuid"):
        raise StateDirError("there is no system to be found: they need Linux")
    if own := os.environ.get("LOWTIDE_STATE_DIR"):
        path = Path(own)
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "lowtide"
    else:
        path = _in_temporary_files()
    make_private(path)
    return path


def _in_temporary_files() -> Path:
    """The directory with this user's id, or the first that is ours with more behind.

    Everybody may make a directory there, by a name that can be foreseen.
    """
    home = Path(tempfile.gettempdir())
    name = f"lowtide-{os.getuid()}"
    path = home / name
    if _is_ours(path) or not os.path.lexists(path):
        return path
    if not (ours := _all_ours(home, name)):
        tempfile.mkdtemp(prefix=f"{name}.", dir=home)
        # Another start may have made one at the same moment: both take the first.
        ours = _all_ours(home, name)
    return ours[0]


def _all_ours(home: Path, name: str) -> list[Path]:
    return sorted(each for each in home.glob(f"{name}.*") if _is_ours(each))


def _is_ours(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)


def make_private(path: Path) -> None:
    """Make a directory that only this user may enter, if it is missing.

    One that is there already and open to others is closed to them, but for one that
    has something else in it: a home directory, /tmp or /proc, that others need.

    Raises:
        StateDirError: It cannot be made, belongs to somebody else, or is not for us.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
        mine = status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)
        if mine and stat.S_IMODE(status.st_mode) != _PRIVATE:
            names = (each.name for each in path.iterdir())
            if others := [name for name in names if not _OURS.match(name)]:
                raise StateDirError(
                    f"the state directory {path} is open to others, and {others[0]} is "
                    "in it as well: expected one of its own"
                )
            path.chmod(_PRIVATE)
    except OSError as error:
        raise StateDirError(
            f"cannot make the state directory {path}: {error.strerror}"
        ) from error
    if not mine:
        raise StateDirError(f"the state directory {path} belongs to somebody else")


@dataclass(frozen=True, slots=True)
class SystemFiles:
    """The files of the system at one port."""

    directory: Path
    port: int

    @property
    def lock(self) -> Path:
        """Locked while any process of the system lives; says who it is."""
        return self.directory / f"{self.port}.lock"

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.directory / f"{self.port}.sock"

    @property
    def sockets(self) -> Path:
        """The directory of the actors' sockets."""
        return self.directory / f"{self.port}.actors"

    @property
    def thespian_log(self) -> Path:
        """Thespian's own log."""
        return self.directory / f"{self.port}.thespian.log"

    @property
    def dump(self) -> Path:
        """Where SIGUSR1 has the state and the stacks written."""
        return self.directory / f"{self.port}.dump"

    def claim(self) -> IO[str]:
        """Take the port; the lock is held until all who inherit the file are gone.

        Raises:
            AlreadyRunningError: Another system has it.
            StateDirError: Nothing can be written there.
        """
        while True:
            try:
                file = file_lock.opened(self.lock)
            except OSError as error:
                raise self._unusable(error) from error
            forks.keep_open(file)
            if not file_lock.take(file):
                problem = self._held_by(holder_of(file))
                file.close()
                raise AlreadyRunningError(problem)
            if self.is_claimed_by(file):
                break
            file.close()  # of a system that has just ended, and removed it
        try:
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid()}, file)
            file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                file.close()
            raise self._unusable(error) from error
        return file

    def is_claimed_by(self, lock: IO[str]) -> bool:
        """Whether the lock that others find is this one: it may have been removed."""
        try:
            return os.path.samestat(self.lock.stat(), os.fstat(lock.fileno()))
        except OSError:
            return False

    def _unusable(self, error: OSError) -> StateDirError:
        return StateDirError(
            f"cannot write to the state directory {self.directory}: "
            f"{error.strerror or error}; "
            "LOWTIDE_STATE_DIR names another"
        )

    def remove(self) -> None:
        """Leave no file of a system that has ended, if no process of it goes on."""
        with contextlib.suppress(OSError), file_lock.opened(self.lock) as file:
            # Whoever has it by now, or waits for it in ``claim``, looks again.
            if not file_lock.take(file, within_s=0.0) or not self.is_claimed_by(file):
                return
            if self.dump.exists() and not self.dump.stat().st_size:
                self.dump.unlink()
            if not self.sockets.exists():  # else `left_over` finds them by the lock
                self.lock.unlink()

    def left_over(self) -> Iterator[Path]:
        """Directories of sockets whose systems were killed; none starts meanwhile."""
        for path in self.directory.glob("*.actors"):
            lock = path.with_suffix(".lock")
            if path == self.sockets or not lock.exists():
                continue
            # What is in the way here is no reason not to start.
            with contextlib.suppress(OSError), file_lock.opened(lock) as file:
                if file_lock.take(file, within_s=0.0):
                    yield path

    def _held_by(self, holder: int | None) -> str:
        owner = self.owner().get("pid", "unknown")
        if holder in (owner, None):
            return (
                f"a lowtide system is running at port {self.port} already (pid {owner})"
            )
        return (
            f"the lock of port {self.port} is held by what a system has left behind, "
            f"or starts just now ({redact(described(holder))})"
        )

    def owner(self) -> dict[str, Any]:
        """What the running system wrote about itself; empty if nothing."""
        try:
            owner = json.loads(self.lock.read_text())
        except (OSError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}

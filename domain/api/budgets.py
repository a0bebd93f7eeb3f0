"""Budgets of requests that the fetchers of one machine share.

A file for each host, in the directory where systems of this user keep their files:
each request is noted in it before it is sent, so that no crash makes it forgotten,
and a budget that a source said is used up is noted there until it is not.
"""

import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .source_settings import Rate

__all__ = ["Notes", "SharedBudget", "boot_time", "shared_budget_of", "state_folder"]

_log = logging.getLogger(__name__)

#: Of two clocks' ticks, and of the way there, which is not always as long.
MARGIN_S = 0.05


def boot_time() -> float:
    """Seconds since the machine was started: the same in all of its processes."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()  # elsewhere that is the time since the start


@dataclass(slots=True)
class Notes:
    """What is noted of one host.

    Attributes:
        sent: When requests were answered, or will have been at the latest.
        keep_s: The longest window that anybody counts them in.
        holds: Until when nobody is to ask, by a digest of who asks.
    """

    sent: list[float] = field(default_factory=list)
    keep_s: float = 0.0
    holds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> "Notes":
        """Read them; what makes no sense is nothing."""
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            value = json.loads(text)
            sent = [float(each) for each in value["sent"]]
            holds = {str(k): float(each) for k, each in value["holds"].items()}
            return cls(sent, float(value["keep_s"]), holds)
        return cls()

    def written(self) -> str:
        """As a text."""
        return json.dumps(
            {"sent": self.sent, "keep_s": self.keep_s, "holds": self.holds}
        )

    def take(self, rate: Rate, now: float, at_latest: float) -> float:
        """Note a request, if there is budget for it.

        Args:
            rate: The budget.
            now: Seconds since the machine was started.
            at_latest: When the request will have been answered.

        Returns:
            0 if it may be sent, else the seconds until one may.
        """
        self.keep_s = max(self.keep_s, rate.seconds)
        # What lies far ahead is from before the machine was started.
        self.sent = [t for t in self.sent if now - self.keep_s < t < now + 3600]
        window = sorted(t for t in self.sent if t > now - rate.seconds - MARGIN_S)
        if len(window) < rate.count:
            self.sent.append(at_latest)
            return 0.0
        first = window[len(window) - rate.count]
        return max(MARGIN_S, first + rate.seconds + MARGIN_S - now)

    def answered(self, at_latest: float, now: float) -> None:
        """Note that a request was answered already."""
        if at_latest in self.sent:
            self.sent[self.sent.index(at_latest)] = now

    def hold(self, who: str, until: float, now: float) -> None:
        """Note that a source wants to be left alone."""
        self.holds = {key: each for key, each in self.holds.items() if each > now}
        self.holds[who] = until

    def held(self, who: str, now: float) -> float:
        """Seconds until it may be asked, 0 for now."""
        left = self.holds.get(who, 0.0) - now
        # No source holds us off for longer; it is from another start.
        return left if 0 < left < 2 * 24 * 3600.0 else 0.0


class SharedBudget:
    """The notes of one host, in a file or in this process only."""

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._own = Notes()

    def take(self, rate: Rate, total_s: float) -> tuple[float, float]:
        """Note a request.

        Returns:
            The seconds to wait, and what `answered` is to be told.
        """
        with self._open() as notes:
            at_latest = self._clock() + total_s
            return notes.take(rate, self._clock(), at_latest), at_latest

    def answered(self, at_latest: float) -> None:
        """Note that a request was answered."""
        with self._open() as notes:
            notes.answered(at_latest, self._clock())

    def hold(self, who: str, seconds: float) -> None:
        """Note that a source wants to be left alone."""
        with self._open() as notes:
            notes.hold(who, self._clock() + seconds, self._clock())

    def held(self, who: str) -> float:
        """Seconds until the source may be asked, 0 for now."""
        # Most sources have no such file: a look is all that a request costs.
        if self._path is None or not os.path.exists(self._path):  # noqa: PTH110
            return self._own.held(who, self._clock()) if self._own.holds else 0.0
        try:
            text = self._path.read_text()
        except OSError:
            return self._own.held(who, self._clock())
        return Notes.read(text).held(who, self._clock())

    @contextmanager
    def _open(self) -> Iterator[Notes]:
        file = self._locked()
        if file is None:
            yield self._own
            return
        with file:
            before = file.read()
            notes = Notes.read(before)
            yield notes
            # Blanks over what is left of a longer text: who is killed between two
            # writes would leave one that makes no sense, and with it no budget.
            text = notes.written().ljust(len(before))
            file.seek(0)
            file.write(text)
            file.flush()
            file.truncate(len(text.rstrip()))

    def _locked(self) -> IO[Any] | None:
        if self._path is None:
            return None
        try:
            import fcntl  # noqa: PLC0415 - not on Windows

            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.fdopen(os.open(self._path, flags, 0o600), "r+")
        except (OSError, ImportError) as error:
            _log.warning("requests are counted in this process only: %s", error)
            self._path = None
            return None
        fcntl.flock(file, fcntl.LOCK_EX)
        return file


def shared_budget_of(place: tuple[str, str, int]) -> SharedBudget:
    """Return the notes of a host.

    Args:
        place: Its scheme, name and port.
    """
    digest = hashlib.sha256(repr(place).encode()).hexdigest()[:24]
    try:
        folder = state_folder()
    except OSError as error:
        _log.warning("requests are counted in this process only: %s", error)
        return SharedBudget(None, boot_time)
    return SharedBudget(folder / f"requests-{digest}.json", boot_time)


def state_folder() -> Path:
    """Where systems of this user keep their files.

    Raises:
        OSError: It cannot be made, or belongs to somebody else.
    """
    if not hasattr(os, "getuid"):
        raise OSError("there is no directory of a user's own on this system")
    # As for the other files of a system, which this knows nothing of.
    if own := os.environ.get("LOWTIDE_STATE_DIR"):
        path = Path(own)
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "lowtide"
    else:
        path = _in_temporary_files()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(path):
        raise PermissionError(f"{path} belongs to somebody else")
    return path


def _in_temporary_files() -> Path:
    # Everybody may take a name there that can be foreseen.
    home, name = Path(tempfile.gettempdir()), f"lowtide-{os.getuid()}"
    path = home / name
    if not os.path.lexists(path) or _is_ours(path):
        return path
    if not any(map(_is_ours, home.glob(f"{name}.*"))):
        tempfile.mkdtemp(prefix=f"{name}.", dir=home)
    return min(each for each in home.glob(f"{name}.*") if _is_ours(each))


def _is_ours(path: Path) -> bool:
    status = path.lstat()
    return status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)

"""An actor system and its root, as the main process holds them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from thespian.actors import (
    ActorSystemException,
    ActorSystemRequestTimeout,
    InvalidActorAddress,
)
from thespian.system import systemBase

from actors.actor_system import sockets
from actors.actor_system.system_base import GONE_WITHIN_S, Base, SystemStartError
from actors.host import linux, process_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from actors.actor_system.stage import Stage

#: How long the first processes may take to be there, in seconds: each is a fork and
#: a message.
START_WITHIN_S = 5.0
systemBase.MAX_CHILD_ACTOR_CREATE_DELAY = timedelta(seconds=START_WITHIN_S)
systemBase.MAX_SYSTEM_SHUTDOWN_DELAY = timedelta()  # it would start over and over
#: After how many new objects to look for cycles, and how often among older ones.
_GC_THRESHOLD = (20_000, 10, 10)


class RunningSystem:
    """Thespian's processes, from their start to the end of the last of them."""

    def __init__(
        self, directory: Path, thespian_log: str, admitted: Iterable[Callable[..., Any]]
    ) -> None:
        """Start the first of them.

        Args:
            directory: For their sockets; it is made, and belongs to them alone.
            thespian_log: File for Thespian's own log.
            admitted: Classes that messages may hold, beside Thespian's own.

        Raises:
            DirectoryError: There is no place for the sockets.
            SystemStartError: It did not start.
        """
        os.environ["THESPLOG_FILE"] = thespian_log
        linux.allow_all_descriptors()
        self._thresholds = gc.get_threshold()
        _share_memory()
        # What is not written yet would be written by each process.
        process_end.flush()
        self._directory = sockets.make(directory)
        try:
            with _told("the actor system's first process"):
                self._base = Base(self._directory, admitted)
        except BaseException:
            self._leave()
            raise

    def start_root(self, stage: type[Stage], message: Any) -> None:
        """Create the root in a process of its own, and send it its first message.

        Raises:
            SystemStartError: It did not come up.
        """
        with _told("the root"):
            self._base.tell(self._base.newPrimaryActor(stage, None, None), message)

    def kill(self) -> None:
        """End every process of the system at once.

        They are killed, not asked: what must not be lost is in the journal, and
        a stage that hangs could not answer.
        """
        self._base.end()
        self._leave()

    def _leave(self) -> None:
        os.close(self._directory.fd)
        sockets.remove(self._directory.path)
        # A program of the user's goes on after its pipeline.
        gc.unfreeze()
        gc.set_threshold(*self._thresholds)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (ActorSystemRequestTimeout, InvalidActorAddress) as error:
        within = f"{START_WITHIN_S:g} s"
        raise SystemStartError(f"{what} did not answer within {within}") from error
    except (OSError, ActorSystemException, ImportError) as error:
        raise SystemStartError(f"{what} did not start: {error}") from error


def _share_memory() -> None:
    # Every process is forked from this one, and a page stays shared until it is
    # written to. What most job functions import is therefore imported once, here:
    # by itself, each process would take as long, and 8 MB more.
    importlib.import_module("requests")
    # The collector would write to each object that is here already.
    gc.collect()
    gc.freeze()
    if sys.version_info < (3, 12):
        # The cache of attributes counts references to names: each process would write
        # to those that were looked up last, here, as others take their places.
        sys._clear_type_cache()  # noqa: SLF001
    # A stage makes and forgets objects by the thousand, all of them without
    # cycles: to look for cycles after every 700 took a tenth of its time.
    gc.set_threshold(*_GC_THRESHOLD)


def wait_for_end(fd: int) -> bool:
    """Wait until a pipe has no writer left; returns whether it came to that."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([fd], [], [], left)
        if ready and not os.read(fd, 1 << 16):
            return True
    return False

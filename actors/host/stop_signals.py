"""The signals that the main process acts on, for as long as it is one.

A program of somebody's own may become the main process for a while
(``Pipeline.run``): what it had made of its signals is given back to it.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from actors.host import forks

#: Those that are acted on.
CAUGHT = (
    *(signal.SIGINT, signal.SIGTERM),
    *(signal.SIGTSTP, signal.SIGCONT, signal.SIGUSR1),
)


class Signals:
    """Has signals written to a descriptor, from its making until ``give_back``.

    Attributes:
        fd: Can be read once a signal has come.
    """

    def __init__(self) -> None:
        self.fd, self._writer = map(forks.keep, os.pipe())
        for each in (self.fd, self._writer):
            os.set_blocking(each, False)
        self._wakeup = signal.set_wakeup_fd(self._writer)
        self._before: dict[signal.Signals, Any] = {
            number: forks.handle(number, _noted) for number in CAUGHT
        }
        # A terminal that is closed does not end what other terminals look at.
        self._before[signal.SIGHUP] = forks.handle(signal.SIGHUP, signal.SIG_IGN)

    def read(self) -> set[int]:
        """Take the numbers of those that have come."""
        try:
            return set(os.read(self.fd, 64))
        except BlockingIOError:
            return set()

    def give_back(self) -> None:
        """Have each signal do what it did before."""
        for number, handler in self._before.items():
            # None stands for one that was not set from Python, and cannot be.
            if handler is not None:
                signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._writer)


def _noted(*_: object) -> None:
    """Leave it to whoever reads the descriptor."""

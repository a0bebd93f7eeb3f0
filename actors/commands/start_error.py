"""What keeps a system from being started, and the first thing that may: no Linux."""

from __future__ import annotations

import sys


class StartError(Exception):
    """The system cannot be started as it is asked for."""


def check_platform(what: str) -> None:
    """Make sure that a system can run on what is here, before anything is imported.

    Args:
        what: What is to be done, as a person says it.

    Raises:
        StartError: It is no Linux.
    """
    if sys.platform != "linux":
        raise StartError(
            f"{what} needs Linux: the kernel binds its processes to one another "
            "(prctl, pidfd, /proc), which other systems cannot; here there are "
            "actors.testing, lowtide simulate and lowtide check"
        )

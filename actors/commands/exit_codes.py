"""How the command ends; scripts rely on the numbers."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """Exit codes."""

    NOTHING_LEFT = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    JOBS_LEFT = 4
    RESTARTS_EXCEEDED = 5
    FORCED = 130

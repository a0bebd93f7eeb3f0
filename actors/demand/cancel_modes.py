"""What becomes of a processor when a stage that it takes from ends.

GenStage's three modes of a subscription, carried out by the supervisor: it alone
knows whether a stage ended as it was told to, and it starts what is to be started.

==========  ======================  ===================================
mode        the source has left     the source has died, or is given up
==========  ======================  ===================================
temporary   stays                   stays
transient   stays                   is started anew
permanent   leaves as well          is started anew
==========  ======================  ===================================

One that stays subscribes to what comes back. One that is started anew holds
nothing any more: its jobs are given back without blame, and its restart does not
count against it, since it is not the one that failed.
"""

from __future__ import annotations

import enum
from typing import Final

TEMPORARY: Final = "temporary"
TRANSIENT: Final = "transient"
PERMANENT: Final = "permanent"
MODES: Final = (TEMPORARY, TRANSIENT, PERMANENT)


class Fate(enum.Enum):
    """What follows from a stage's exit."""

    UNKNOWN = "unknown"
    RESTART = "restart"
    REMOVED = "removed"
    FATAL = "fatal"


class Follow(enum.Enum):
    """What a processor is to do about the end of its source."""

    STAY = "stay"
    LEAVE = "leave"
    RESTART = "restart"


def follow(mode: str, fate: Fate) -> Follow:
    """Say what a subscription's mode makes of its source's end.

    Args:
        mode: One of ``MODES``.
        fate: What the supervisor has decided about the source.
    """
    if mode == TEMPORARY or fate is Fate.UNKNOWN:
        return Follow.STAY
    if fate is Fate.REMOVED:
        return Follow.LEAVE if mode == PERMANENT else Follow.STAY
    return Follow.RESTART

"""How a moment is written, in answers about a journal."""

from __future__ import annotations

import time


def moment(wall: float) -> str:
    """Seconds since the epoch as people and programs read them."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall))

"""What frames have in common, between processes and between machines.

How long they may be, why one is refused, and how often that is told.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from hashlib import blake2b

#: Bytes of a frame behind its length; what is longer is refused.
MAX_FRAME = 4 << 20
#: Bytes of a message; the rest is for what is put around it on its way.
MAX_MESSAGE = MAX_FRAME - 8192
#: Bytes of the shortest key that is taken.
MIN_KEY = 32

_TAG = 16


class Refusal(enum.Enum):
    """Why something that arrived was not taken."""

    TOO_LONG = "too long"
    GARBLED = "no frame"
    FORGED = "not signed with this system's key"
    FORBIDDEN = "holds what no message of ours holds"
    STRANGER = "another user's"
    SILENT = "said nothing"
    CROWDED = "more connections than files are allowed"
    FULL = "the receiver does not read"


class FrameError(ValueError):
    """A frame is refused."""

    def __init__(self, refusal: Refusal, about: str = "") -> None:
        super().__init__(f"{refusal.value}{': ' if about else ''}{about}")
        self.refusal = refusal
        self.about = about


def tag_of(key: bytes, content: bytes, person: bytes) -> bytes:
    """Sign ``content``; ``person`` keeps what is signed for one use from others."""
    return blake2b(content, digest_size=_TAG, key=key, person=person).digest()


def derive(secret: bytes, person: bytes) -> bytes:
    """A key of fixed length, for one use, from a secret of any."""
    return blake2b(secret, digest_size=32, person=person).digest()


@dataclass(slots=True)
class Quiet:
    """Lets the first refusal of each kind be told, then one a minute with a count."""

    every_s: float = 60.0
    _told: dict[Refusal, float] = field(default_factory=dict)
    _counts: dict[Refusal, int] = field(default_factory=dict)

    def note(self, refusal: Refusal, now: float) -> int | None:
        """Count a refusal; returns how many to tell of now, or None for silence."""
        self._counts[refusal] = self._counts.get(refusal, 0) + 1
        told = self._told.get(refusal)
        if told is not None and now - told < self.every_s:
            return None
        self._told[refusal] = now
        return self._counts.pop(refusal)

"""How much is set aside, and how much may be before no more should be fetched.

Where so much fails, each further job would only be taken from its source to fail
as well. Nothing is ever thrown out to make room: a person decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Quarantine:
    """One fetcher's.

    Attributes:
        most: Jobs that it may hold; None for any number.
        most_bytes: What their payloads may come to, as JSON; None for any size.
        count: Jobs that it holds.
        size: What their payloads come to, in bytes.
    """

    most: int | None = None
    most_bytes: int | None = None
    count: int = 0
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it has reached either of them."""
        many = self.most is not None and self.count >= self.most
        large = self.most_bytes is not None and self.size >= self.most_bytes
        return many or large

    def put(self, payload: Any) -> None:
        """A job was set aside."""
        self.count += 1
        self.size += size_of(payload)

    def take(self, payload: Any) -> None:
        """A job has left: it was released or discarded, or is done after all."""
        self.count -= 1
        self.size = max(0, self.size - size_of(payload))


def size_of(payload: Any) -> int:
    """How many bytes a payload takes where it is kept."""
    return len(json.dumps(payload))

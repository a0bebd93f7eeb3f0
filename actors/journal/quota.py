"""Whether the journal has reached the size that it may have (``--journal-mib``)."""

from __future__ import annotations

from dataclasses import dataclass

#: While nothing is fetched it is looked at no more often than this, in seconds.
LOOK_S = 0.1
#: While it is reached, nothing may come that would be occasion to look.
LOOK_AGAIN_S = 5.0


@dataclass(slots=True)
class Quota:
    """The limit of ``--journal-mib``, and what was seen of the size.

    Where it is reached, a fetcher has no room for jobs (`fetcher.status`).

    Attributes:
        most_bytes: The limit; None for none, and nothing is ever to be looked at.
        is_reached: Whether the size was that when it was looked at last.
    """

    most_bytes: int | None = None
    is_reached: bool = False
    _look_at: float = 0.0
    _grew: bool = False

    def grew(self) -> None:
        """Jobs were fetched: the size is to be looked at before more are."""
        self._grew = True

    def is_due(self, now: float) -> bool:
        """Whether to look at the size now."""
        due = self._grew or now >= self._look_at
        return due and self.most_bytes is not None

    def saw(self, size: int, now: float) -> None:
        """Note the size, in bytes."""
        self.is_reached = self.most_bytes is not None and size >= self.most_bytes
        self._look_at, self._grew = now + LOOK_S, False

    @property
    def next_tick(self) -> float | None:
        """When to look whether there is room again, in monotonic seconds."""
        return self._look_at + LOOK_AGAIN_S if self.is_reached else None

"""Manual demand: how much somebody said may be asked for, and of whom.

Rule 1: a grant is for a source, a fetcher or a step; it is kept until that is
there to be asked.
Rule 2: exactly what was granted arrives. What a source was asked for and did not
deliver, because it died or has taken a job back, may be asked for again.
Rule 3: the processes of a step share what is granted. Each is asked for half of
an even part of what is left, and again once it has delivered: so one that is
slow, or comes late, neither keeps much from the others nor is left out.
Rule 4: it lives in the processor, not in a subscription, so it outlives every
source; with its processor it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class UnknownNameError(ValueError):
    """Nothing of this name is taken from."""


class ManualDemand:
    """What was granted and has not been asked for yet, by source."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._left = dict.fromkeys(sources, 0)

    @property
    def total(self) -> int:
        """All of it together."""
        return sum(self._left.values())

    def left(self, source: str) -> int:
        """How much may still be asked for."""
        return self._left[source]

    def share(self, source: str, processes: int) -> int:
        """How much to ask one of a step's processes for, of this many of them."""
        return -(-self._left[source] // (2 * max(1, processes)))

    def grant(self, count: int, source: str | None = None) -> None:
        """Let ``count`` more jobs be asked for, of each source unless one is given.

        Raises:
            ValueError: ``count`` is below 0.
            UnknownNameError: It takes nothing from ``source``.
        """
        self.check(count, source)
        for each in self._left if source is None else (source,):
            self._left[each] += count

    def check(self, count: int, source: str | None = None) -> None:
        """Refuse what ``grant`` refuses; changes nothing."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"count must be a whole number from 0, got {count!r}")
        if source is not None and source not in self._left:
            raise UnknownNameError(
                f"expected one of {', '.join(self._left)}, got {source!r}"
            )

    def spend(self, source: str, count: int) -> None:
        """So much was asked for."""
        self._left[source] -= count

    def give_back(self, source: str, count: int) -> None:
        """So much was asked for in vain."""
        self._left[source] += count

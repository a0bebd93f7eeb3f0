"""Manual demand: how much somebody said may be asked for, and of whom.

Rule 1: a grant is for a name that the processor takes from, a fetcher's or a
kind of processor's; it is kept until somebody of that name is there to be asked.
Rule 2: exactly what was granted arrives. What a producer was asked for and did
not deliver, because it is gone or has taken a job back, is free to be asked of
the next one.
Rule 3: it lives in the processor, not in a subscription, so it outlives every
producer; with its processor it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from actors.flow.feed import Feed


class UnknownNameError(ValueError):
    """Nothing of this name is taken from."""


class Allowance:
    """What was granted and no producer has been asked for yet, by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._free = dict.fromkeys(names, 0)

    @property
    def free(self) -> int:
        """All of it together."""
        return sum(self._free.values())

    def grant(self, count: int, name: str | None = None) -> None:
        """Let ``count`` more jobs be asked for, of each name unless one is given.

        Raises:
            ValueError: ``count`` is below 0.
            UnknownNameError: It takes nothing from ``name``.
        """
        self.check(count, name)
        for each in self._free if name is None else (name,):
            self._free[each] += count

    def check(self, count: int, name: str | None = None) -> None:
        """Refuse what ``grant`` refuses; changes nothing."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"count must be a whole number from 0, got {count!r}")
        if name is not None and name not in self._free:
            raise UnknownNameError(
                f"expected one of {', '.join(self._free)}, got {name!r}"
            )

    def give_back(self, name: str, count: int) -> None:
        """Free what was asked for in vain."""
        self._free[name] += count

    def share_out(self, feeds: Collection[Feed]) -> None:
        """Let each name's subscriptions ask for what is free, in equal parts."""
        for name, count in self._free.items():
            of_name = [feed for feed in feeds if feed.name == name and not feed.closing]
            if not of_name or not count:
                continue
            self._free[name] = 0
            share, rest = divmod(count, len(of_name))
            # Those that wait for least get what cannot be divided.
            for place, feed in enumerate(sorted(of_name, key=_waits_for)):
                feed.allowed += share + (place < rest)


def _waits_for(feed: Feed) -> int:
    return feed.allowed + feed.total - feed.received

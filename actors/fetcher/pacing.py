"""How a fetch says when it is to be called next: it calls what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.fetcher.fetch_call import Signals

#: The longest that a fetch may put its next call off, in seconds: a month.
MAX_NEXT_S = 31 * 24 * 3600.0


class NextPoll:
    """What one call of a fetch is given as ``next_poll``."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def __call__(self, seconds: float) -> None:
        """Put the next poll off for so many seconds from the end of this one.

        What was said last holds, unless the call fails. After the call is over it
        does nothing.

        Raises:
            TypeError: It is no number.
            ValueError: It is below 0, or above a month.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise TypeError(f"next_poll takes seconds, got {seconds!r}")
        if not 0 <= seconds <= MAX_NEXT_S:
            raise ValueError(
                f"next_poll takes from 0 to {MAX_NEXT_S:.0f} seconds, got {seconds!r}"
            )
        if self._signals.pace is self:
            self._signals.next_s = float(seconds)


def pacing(fetch: Callable[..., Any], signals: Signals) -> Callable[..., Any]:
    """A fetch that is given its ``next_poll`` with each call."""

    def call(**options: Any) -> Any:
        signals.next_s, signals.pace = None, NextPoll(signals)
        return fetch(**options, next_poll=signals.pace)

    return call

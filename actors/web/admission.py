"""How many may be served at a time, by what they ask for; no sockets here.

Rule 1: who has not asked yet holds no place that another one needs: where there is
no more room, the one that has been silent for longest goes.
Rule 2: what is asked for has places of its own, so that no number of pages keeps out
a probe, and no number of actions a page.
Rule 3: all that is asked and answered ends within a time, but for live pages and
actions.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

#: Connections that have not asked yet.
MOST_SILENT = 32
#: For each kind of request, how many are answered at a time.
MOST_AT_ONCE = {"probe": 8, "page": 16, "live": 8, "action": 4}
#: How long a whole request may take to arrive, and its answer to go out, in seconds.
ASKED_WITHIN_S = 5.0
ANSWERED_WITHIN_S = 20.0
#: What takes as long as it takes.
_LASTS = ("live", "action")

_PROBES = ("/healthz", "/readyz", "/metrics", "/status.json")


def kind_of(method: str, path: str) -> str:
    """Which places a request takes."""
    if method == "POST":
        return "action"
    if path in _PROBES:
        return "probe"
    return "live" if path == "/events" else "page"


@dataclass(slots=True)
class _Taken:
    since: float
    kind: str | None = None


@dataclass(slots=True)
class Admission:
    """Each connection is known by whatever stands for it."""

    _there: dict[Any, _Taken] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def comes(self, who: Any, now: float) -> Any | None:
        """Take one more; returns who is to be hung up on for it, if anybody."""
        with self._lock:
            silent = [each for each, taken in self._there.items() if not taken.kind]
            self._there[who] = _Taken(now)
            return silent[0] if len(silent) >= MOST_SILENT else None

    def asks(self, who: Any, kind: str, now: float) -> bool:
        """Note what one asks for; returns whether there is a place for that."""
        with self._lock:
            count = sum(each.kind == kind for each in self._there.values())
            if count >= MOST_AT_ONCE[kind]:
                return False
            self._there[who] = _Taken(now, kind)
            return True

    def goes(self, who: Any) -> None:
        """Forget one."""
        with self._lock:
            self._there.pop(who, None)

    def late(self, now: float) -> list[Any]:
        """Those whose time is over."""
        with self._lock:
            return [each for each, taken in self._there.items() if _is_late(taken, now)]


def _is_late(taken: _Taken, now: float) -> bool:
    if taken.kind in _LASTS:
        return False
    return now >= taken.since + (ANSWERED_WITHIN_S if taken.kind else ASKED_WITHIN_S)


#: Wrong tokens that cost nothing: people mistype.
FREE_GUESSES = 3
#: The longest time in which no token is looked at, in seconds.
LONGEST_WAIT_S = 60.0


@dataclass(slots=True)
class Guesses:
    """Wrong tokens in a row, after which none is looked at for a while."""

    count: int = 0
    wait_s: float = 0.0
    _until: float = 0.0

    def left_s(self, now: float) -> float:
        """How long no token is looked at."""
        return max(0.0, self._until - now)

    def wrong(self, now: float) -> None:
        """Note a wrong one."""
        self.count += 1
        over = self.count - FREE_GUESSES
        self.wait_s = min(LONGEST_WAIT_S, 2.0 ** min(over, 10)) if over >= 0 else 0.0
        self._until = now + self.wait_s

    def right(self) -> None:
        """Note the right one."""
        self.count, self.wait_s = 0, 0.0

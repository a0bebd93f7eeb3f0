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

from actors.demand.backoff import Backoff

#: Connections that have not asked yet.
MOST_SILENT = 32
#: For each kind of request, how many are answered at a time.
MOST_AT_ONCE = {"probe": 8, "page": 16, "live": 8, "action": 4, "guess": 4}
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


#: Wrong tokens of one address, and of all, that are answered at once: people mistype.
FREE_GUESSES = 3
FREE_OVERALL = 12
#: The longest that an answer to a wrong one is held, in seconds.
LONGEST_WAIT_S = 8.0
#: Wrong ones are forgotten when there was none for so long, in seconds.
FORGOTTEN_S = 300.0
#: Addresses whose wrong tokens are counted; those that were silent longest go first.
MOST_ADDRESSES = 64


@dataclass(slots=True)
class _Wrong:
    count: int = 0
    last: float = 0.0

    def another(self, now: float, free: int) -> float:
        is_new = now >= self.last + FORGOTTEN_S
        self.count, self.last = (1 if is_new else self.count + 1), now
        over = self.count - free
        return Backoff(1.0, LONGEST_WAIT_S).longest_s(over) if over > 0 else 0.0


@dataclass(slots=True)
class Guesses:
    """Wrong tokens, each answered later than the one before.

    The right one never waits, and nothing that others guess keeps it out.
    """

    _overall: _Wrong = field(default_factory=_Wrong)
    _by_address: dict[str, _Wrong] = field(default_factory=dict)
    _tell_at: float = 0.0
    _untold: int = 0

    def wrong(self, address: str, now: float) -> float:
        """Note a wrong one; returns for how long its answer is to be held."""
        theirs = self._by_address.pop(address, None) or _Wrong()
        self._by_address[address] = theirs
        if len(self._by_address) > MOST_ADDRESSES:
            del self._by_address[next(iter(self._by_address))]
        overall_s = self._overall.another(now, FREE_OVERALL)
        return max(overall_s, theirs.another(now, FREE_GUESSES))

    def to_tell(self, wait_s: float, now: float) -> int | None:
        """How many to tell of now, or None: once in the time that answers are held."""
        self._untold += 1
        if now < self._tell_at:
            return None
        told, self._untold, self._tell_at = self._untold, 0, now + wait_s
        return told

    def __len__(self) -> int:
        """Addresses that are remembered."""
        return len(self._by_address)

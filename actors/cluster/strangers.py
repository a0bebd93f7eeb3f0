"""Those who have dialled the gate and have not shown yet that they may.

Rule 1: there is always room for one more. Where there is none, the one goes that has
said nothing for longest; of the caller's own address, if that has as many as it may.
Rule 2: who has shown no key within `HELLO_WITHIN_S` is hung up on: a machine that
dials shows it with its first bytes.
Rule 3: who has shown it and has not joined may have recorded what it showed. It goes
only where all have shown one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: At a time, in all and of one address. Many machines may be behind one.
MAX_STRANGERS = 64
MAX_OF_ADDRESS = 16
#: Seconds.
HELLO_WITHIN_S = 1.0


@dataclass(slots=True)
class _Stranger:
    address: str
    since: float
    has_shown_key: bool = False


@dataclass(slots=True)
class Strangers:
    """Says who is to be hung up on; each is known by its descriptor."""

    _there: dict[int, _Stranger] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._there)

    def comes(self, fd: int, address: str, now: float) -> int | None:
        """Take one more; returns who goes for it, if somebody has to."""
        of_address = [f for f, each in self._there.items() if each.address == address]
        goes = None
        if len(of_address) >= MAX_OF_ADDRESS:
            goes = self._first_to_go(of_address)
        elif len(self._there) >= MAX_STRANGERS:
            goes = self._first_to_go(list(self._there))
        if goes is not None:
            del self._there[goes]
        self._there[fd] = _Stranger(address, now)
        return goes

    def shows_key(self, fd: int) -> None:
        """Note that one has shown the key, or what somebody else had shown."""
        if (stranger := self._there.get(fd)) is not None:
            stranger.has_shown_key = True

    def goes(self, fd: int) -> None:
        """Forget one: it has joined, or its connection is over."""
        self._there.pop(fd, None)

    def late(self, now: float) -> list[int]:
        """Those who should have shown a key by now."""
        return [
            fd
            for fd, each in self._there.items()
            if not each.has_shown_key and now >= each.since + HELLO_WITHIN_S
        ]

    def next_late(self) -> float | None:
        """When somebody is late next."""
        times = [e.since for e in self._there.values() if not e.has_shown_key]
        return min(times) + HELLO_WITHIN_S if times else None

    def _first_to_go(self, among: list[int]) -> int:
        # In the order in which they came.
        silent = (fd for fd in among if not self._there[fd].has_shown_key)
        return next(silent, among[0])

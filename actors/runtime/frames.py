"""Frames between the processes of one machine: signed, counted, bound, capped.

A frame is ``LENGTH>`` in decimal, then a tag, a header and a payload. The tag
signs all that follows it, and is checked before a byte of the payload is read.
The header says who sealed the frame, when, from which port and for which:

1. Whoever has not the key makes no frame that is opened.
2. A frame is opened by the process that it was sealed for, and by no other.
3. It is opened once. One that comes again is told apart from a new one, so that
   its sender, who repeats what was not acknowledged, can be answered.
4. A length above the cap is refused when it is announced, not when it is there.

There is no socket and no clock here. Time is that of the machine's monotonic
clock in nanoseconds, which all its processes share.
"""

from __future__ import annotations

import enum
import hmac
import struct
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of a frame behind its length; what is longer is refused.
MAX_FRAME = 4 << 20
#: Bytes of a message; the rest is for what is put around it on its way.
MAX_MESSAGE = MAX_FRAME - 8192
#: Bytes of the shortest key that is taken.
MIN_KEY = 32
#: Nobody repeats a frame for longer than this (Thespian gives up after 5 minutes).
MAX_AGE_NS = 600 * 10**9
#: Stamps of one sender that are remembered; older ones are taken for repeated.
WINDOW = 1024

_TAG = 16
_HEADER = struct.Struct(">c8sQHH")
_DIGITS = 8
_LONG = 1 << 16
#: Read at once, which most frames are shorter than: each read costs a look at all
#: sockets before it.
_AT_ONCE = 1 << 15


class Refusal(enum.Enum):
    """Why a frame was not opened."""

    TOO_LONG = "too long"
    GARBLED = "no frame"
    FORGED = "not signed with this system's key"
    MISDIRECTED = "sealed for another process"
    STALE = "sealed too long ago"
    REPEATED = "repeated"
    FORBIDDEN = "holds what no message of ours holds"


class FrameError(ValueError):
    """A frame is refused."""

    def __init__(self, refusal: Refusal, about: str = "") -> None:
        super().__init__(f"{refusal.value}{': ' if about else ''}{about}")
        self.refusal = refusal
        self.about = about


class Kind(bytes, enum.Enum):
    """What a frame carries."""

    MESSAGE = b"m"
    ACKNOWLEDGED = b"a"
    REJECTED = b"r"


_KINDS = {each.value: each for each in Kind}


class Opened(NamedTuple):
    """A frame that was taken.

    Attributes:
        port: Where its sender listens.
    """

    kind: Kind
    port: int
    payload: bytes


def tag_of(key: bytes, content: bytes, person: bytes) -> bytes:
    """Sign ``content``; ``person`` keeps what is signed for one use from others."""
    return blake2b(content, digest_size=_TAG, key=key, person=person).digest()


def derive(secret: bytes, person: bytes) -> bytes:
    """A key of fixed length, for one use, from a secret of any."""
    return blake2b(secret, digest_size=32, person=person).digest()


_FRAME = b"lowtide frame"


def with_length(frame: bytes) -> bytes:
    """A frame as it goes over the wire."""
    return b"%d>%b" % (len(frame), frame)


@dataclass(slots=True)
class Sealer:
    """One process's signature; each frame has a stamp of its own.

    Attributes:
        sender: Eight bytes, random for each process.
        now_ns: The machine's monotonic clock.
    """

    key: bytes
    sender: bytes
    now_ns: Callable[[], int]
    _last: int = 0

    def seal(self, kind: Kind, ports: tuple[int, int], payload: bytes) -> bytes:
        """Make a frame; ``ports`` are the sender's and the receiver's."""
        stamp = self.now_ns()
        if stamp <= self._last:
            stamp = self._last + 1
        self._last = stamp
        content = _HEADER.pack(kind.value, self.sender, stamp, *ports) + payload
        return tag_of(self.key, content, _FRAME) + content


@dataclass(slots=True)
class _Sender:
    floor: int = 0
    newest: int = 0
    seen: set[int] = field(default_factory=set)
    order: deque[int] = field(default_factory=deque)

    def note(self, stamp: int) -> bool:
        if stamp <= self.floor or stamp in self.seen:
            return False
        self.seen.add(stamp)
        self.order.append(stamp)
        self.newest = max(self.newest, stamp)
        if len(self.order) > WINDOW:
            oldest = self.order.popleft()
            self.seen.discard(oldest)
            self.floor = max(self.floor, oldest)
        return True


@dataclass(slots=True)
class Opener:
    """Opens what was sealed for one process, each frame once.

    Attributes:
        now_ns: The machine's monotonic clock.
        ports: Where this process listens, each with the time when it began to;
            nothing was sealed for it before.
    """

    key: bytes
    now_ns: Callable[[], int]
    ports: dict[int, int] = field(default_factory=dict)
    _senders: dict[bytes, _Sender] = field(default_factory=dict)

    def open(self, frame: bytes) -> Opened:
        """Check a frame, and take it.

        Raises:
            FrameError: It is refused.
        """
        content = frame[_TAG:]
        if len(content) < _HEADER.size:
            raise FrameError(Refusal.GARBLED)
        if not hmac.compare_digest(frame[:_TAG], tag_of(self.key, content, _FRAME)):
            raise FrameError(Refusal.FORGED)
        kind, sender, stamp, origin, port = _HEADER.unpack_from(content)
        opened = Opened(_KINDS[kind], origin, content[_HEADER.size :])
        if opened.kind is Kind.MESSAGE:
            self._check(sender, stamp, port)
        return opened

    def _check(self, sender: bytes, stamp: int, port: int) -> None:
        since = self.ports.get(port)
        if since is None:
            raise FrameError(Refusal.MISDIRECTED)
        oldest = self.now_ns() - MAX_AGE_NS
        if stamp < max(since, oldest):
            raise FrameError(Refusal.STALE)
        known = self._senders.get(sender)
        if known is None:
            self._forget(oldest)
            known = self._senders[sender] = _Sender()
        if not known.note(stamp):
            raise FrameError(Refusal.REPEATED)

    def _forget(self, oldest: int) -> None:
        # What they sealed is stale by now: it need not be remembered.
        gone = [key for key, each in self._senders.items() if each.newest < oldest]
        for key in gone:
            del self._senders[key]


class FrameBuffer:
    """Collects one frame from what a socket yields; never raises.

    It stands where Thespian has its ``ReceiveBuffer``, and has its methods. What
    it holds is opened once, however often it is asked for.
    """

    __slots__ = ("_extra", "_head", "_open", "_opened", "_received", "_size", "refused")

    def __init__(self, open_frame: Callable[[bytes], Any]) -> None:
        self.refused: FrameError | None = None
        self._open = open_frame
        self._head = b""
        self._size = -1
        self._received: bytes | bytearray = b""
        self._extra = b""
        self._opened: tuple[Any, bytes] | None = None

    def __str__(self) -> str:
        return f"{len(self._received)} of {self._size} bytes"

    def addMore(self, received: bytes) -> None:  # noqa: N802 - Thespian's name
        """Take what arrived."""
        if self._size < 0:
            if self.refused is not None:
                return
            received = self._read_length(received)
            if self._size < 0:
                return
        self._received += received
        if len(self._received) > self._size:
            self._extra += bytes(self._received[self._size :])
            self._received = self._received[: self._size]

    def is_empty(self) -> bool:
        """Whether nothing has arrived."""
        return not self._head and self._size < 0

    def remainingAmount(self) -> int:  # noqa: N802
        """How many bytes to read next, at most."""
        return _AT_ONCE if self._size < 0 else self._size - len(self._received)

    def isDone(self) -> bool:  # noqa: N802
        """Whether no more is to be read: it is whole, or refused."""
        return len(self._received) == self._size or self.refused is not None

    def removeExtra(self) -> None:  # noqa: N802
        """Forget what came behind the frame."""
        self._extra = b""
        if self._opened is not None:
            self._opened = self._opened[0], b""

    def completed(self) -> tuple[Any, bytes] | None:
        """What was sealed, and what came behind it; None where it is refused."""
        if self._opened is not None:
            return self._opened
        if self.refused is not None or len(self._received) != self._size:
            return None
        try:
            opened = self._open(bytes(self._received))
        except FrameError as error:
            self.refused = error
            return None
        self._opened = opened, self._extra
        return self._opened

    def _read_length(self, received: bytes) -> bytes:
        head, found, rest = (self._head + received).partition(b">")
        digits = head.isdigit()
        if len(head) > _DIGITS:
            announced = head[:_DIGITS].isdigit()
            self._refuse(Refusal.TOO_LONG if announced else Refusal.GARBLED)
        elif not digits and (head or found):
            self._refuse(Refusal.GARBLED)
        elif digits and int(head) > MAX_FRAME:
            self._refuse(Refusal.TOO_LONG)
        elif found and self.refused is None:
            self._size = int(head)
            # A long one would be copied again with each piece that arrives.
            self._received = b"" if self._size < _LONG else bytearray()
        self._head = head
        return rest

    def _refuse(self, refusal: Refusal) -> None:
        if self.refused is None:
            self.refused = FrameError(refusal)


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

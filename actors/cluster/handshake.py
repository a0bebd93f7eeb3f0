"""The two ends of a line between machines: strangers kept out, frames in order.

Both sides have one key and show it before anything else is said:

1. The one that dials sends its name, if the key is that of one machine, and a random
   number, signed with the key.
2. The other has the same key, or makes it of the cluster's and the name. It answers
   with the name and a random number of its own, and signs all of it. From key and
   numbers each side derives two keys, one for each direction, for this line only.
3. Every frame after that is signed with the key of its direction and its place in
   the order. So none can be made up, changed, left out, repeated or turned back,
   and nothing that was recorded on one line is worth anything on another.

There is no secrecy: who can read the line can read jobs and results. No socket
and no clock is here: bytes go in, payloads come out.
"""

from __future__ import annotations

import hmac
import struct
from typing import TYPE_CHECKING

from actors.host.frames import MAX_FRAME, FrameError, Refusal, derive, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.cluster.keys import Key

#: Bytes of the first frame: who has not sent one yet may have recorded the rest.
MAX_FIRST = 4096

_MAGIC = b"lowtide2"
_NONCE = 32
_TAG = 16
_LENGTH = struct.Struct(">I")
_ORDER = struct.Struct(">Q")
#: What stands before the name: the magic, and the name's length.
_HEAD = len(_MAGIC) + 1


class Handshake:
    """One end of a line.

    Attributes:
        outgoing: Bytes that are to be sent before anything else.
        is_open: Whether the other side has shown the key.
        machine: Whose key it is, shown once it is open; empty for the cluster's.
    """

    def __init__(self, key: Key, nonce: bytes, *, dials: bool) -> None:
        self.outgoing = b""
        self.is_open = False
        self.machine = key.machine
        self._cluster = key
        self._key = derive(key.secret, b"lowtide line")
        self._nonce = nonce
        self._dials = dials
        self._received = bytearray()
        self._keys = (b"", b"")
        self._counts = [0, 0]
        self._limit = MAX_FIRST
        if dials:
            self.outgoing = self._hello(b"")

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take what arrived; yields each payload that is complete.

        Raises:
            FrameError: The other side is to be hung up on.
        """
        self._received += received
        if not self.is_open and not self._greet():
            return
        while (frame := self._take_frame()) is not None:
            yield frame

    def seal(self, payload: bytes) -> bytes:
        """A payload as it goes over the line, once it is open."""
        tag = self._sign(0, payload)
        return _LENGTH.pack(len(payload)) + tag + payload

    def _greet(self) -> bool:
        if not _MAGIC.startswith(bytes(self._received[: len(_MAGIC)])):
            raise FrameError(Refusal.GARBLED)
        if len(self._received) < _HEAD:
            return False
        nonce_at = _HEAD + self._received[_HEAD - 1]
        tag_at = nonce_at + _NONCE
        if len(self._received) < tag_at + _TAG:
            return False
        hello = bytes(self._received[: tag_at + _TAG])
        del self._received[: tag_at + _TAG]
        if not self._dials:
            self._is_called_by(hello[_HEAD:nonce_at])
        theirs = hello[nonce_at:tag_at]
        # The answer covers what was asked: an old one answers nothing.
        expected = self._signed(theirs, self._nonce if self._dials else b"")
        if not hmac.compare_digest(hello, expected):
            raise FrameError(Refusal.FORGED)
        if not self._dials:
            self.outgoing = self._hello(theirs)
        self._derive(theirs)
        self.is_open = True
        return True

    def _is_called_by(self, name: bytes) -> None:
        if not name:
            return
        try:
            key = self._cluster.of(name.decode())
        except UnicodeDecodeError:
            raise FrameError(Refusal.GARBLED) from None
        self.machine = key.machine
        self._key = derive(key.secret, b"lowtide line")

    def _hello(self, asked: bytes) -> bytes:
        return self._signed(self._nonce, asked)

    def _signed(self, nonce: bytes, asked: bytes) -> bytes:
        name = self.machine.encode()
        hello = _MAGIC + bytes((len(name),)) + name + nonce
        return hello + tag_of(self._key, hello + asked, b"lowtide hello")

    def _derive(self, theirs: bytes) -> None:
        asked, answered = (
            (self._nonce, theirs) if self._dials else (theirs, self._nonce)
        )
        dialler = derive(self._key + asked + answered, b"lowtide to there")
        other = derive(self._key + asked + answered, b"lowtide to here")
        self._keys = (dialler, other) if self._dials else (other, dialler)

    def _take_frame(self) -> bytes | None:
        if len(self._received) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._received)
        if length > self._limit:
            raise FrameError(Refusal.TOO_LONG)
        start, end = _LENGTH.size + _TAG, _LENGTH.size + _TAG + length
        if len(self._received) < end:
            return None
        tag, payload = (
            bytes(self._received[_LENGTH.size : start]),
            bytes(self._received[start:end]),
        )
        del self._received[:end]
        if not hmac.compare_digest(tag, self._sign(1, payload)):
            raise FrameError(Refusal.FORGED)
        self._limit = MAX_FRAME
        return payload

    def _sign(self, direction: int, payload: bytes) -> bytes:
        order = _ORDER.pack(self._counts[direction])
        self._counts[direction] += 1
        return tag_of(self._keys[direction], order + payload, b"lowtide sent")

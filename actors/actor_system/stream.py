"""Messages on a stream of bytes: a length and that many bytes, again and again.

No socket is here: bytes go in as they arrive, messages come out whole. A length
above the limit is refused when it is announced, not when the bytes are there.
"""

from __future__ import annotations

import struct

from actors.host.frames import MAX_FRAME, FrameError, Refusal

_LENGTH = struct.Struct(">I")
HEADER = _LENGTH.size


def framed(content: bytes) -> bytes:
    """A message as it goes over the stream."""
    return _LENGTH.pack(len(content)) + content


class Cutter:
    """Cuts messages out of what arrives.

    Attributes:
        limit: Bytes of the longest message that is taken.
    """

    __slots__ = ("_rest", "limit")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._rest = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._rest)

    def take(self, received: memoryview) -> list[bytes]:
        """Take what arrived; returns the messages that are whole.

        Raises:
            FrameError: A message is longer than the limit.
        """
        rest = self._rest
        if rest:
            rest += received
            if len(rest) < HEADER or len(rest) < HEADER + self._length(rest):
                return []
            with memoryview(rest) as whole:
                messages, end = self._cut(whole)
            del rest[:end]
            return messages
        size = len(received)
        if size >= HEADER and _LENGTH.unpack_from(received)[0] == size - HEADER:
            return [bytes(received[HEADER:])]  # one message, as it mostly is
        messages, end = self._cut(received)
        if end < len(received):
            rest += received[end:]
        return messages

    def _cut(self, content: memoryview) -> tuple[list[bytes], int]:
        messages = []
        at, size = 0, len(content)
        while size - at >= HEADER:
            (length,) = _LENGTH.unpack_from(content, at)
            if length > self.limit:
                raise FrameError(Refusal.TOO_LONG)
            end = at + HEADER + length
            if end > size:
                break
            messages.append(bytes(content[at + HEADER : end]))
            at = end
        return messages, at

    def _length(self, content: bytearray) -> int:
        length: int = _LENGTH.unpack_from(content)[0]
        if length > self.limit:
            raise FrameError(Refusal.TOO_LONG)
        return length

"""A body's compression, undone a piece at a time.

urllib3 undoes it as well, and takes a stream that breaks off for a whole one.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Sizes of zlib's window that say what is around the stream: gzip's header, zlib's
#: own, or none. Source: zlib's manual, inflateInit2.
_GZIP, _ZLIB, _BARE = 31, 15, -15
#: What tells them apart.
_HEADER_BYTES = 2


class Unpacker:
    """Undoes one compression.

    Attributes:
        is_sure: Whether a header said that there is one: what has none may be anything.
    """

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._stream: zlib._Decompress | None = None
        self._head = b""
        self._is_begun = self._has_ended = self._is_over = False
        self.is_sure = False

    @property
    def is_whole(self) -> bool:
        """Whether every stream that has begun has come to its end."""
        return not self._head and (self._is_over or not self._is_begun)

    def pieces(self, packed: bytes, size: int) -> Iterator[bytes]:
        """Undo what came next; yields at most ``size`` bytes at a time.

        Raises:
            zlib.error: It is not compressed so.
        """
        packed, self._head = self._head + packed, b""
        stream = self._stream or self._begin(packed)
        while stream is not None and packed and not self._is_over:
            self._is_begun = True
            try:
                yield from _unpacked(stream, packed, size)
            except zlib.error:
                if not self._has_ended:
                    raise
                self._is_over = True  # what follows a stream may be none
                return
            if not stream.eof:
                return
            packed = stream.unused_data.lstrip(b"\0")  # padding
            self._has_ended, self._is_begun = True, False
            # Of gzip another may follow, and is a part of the same.
            self._is_over = not self._is_gzip
            stream = self._stream = zlib.decompressobj(_GZIP)

    def _begin(self, packed: bytes) -> zlib._Decompress | None:
        if len(packed) < _HEADER_BYTES:
            self._head = packed
            return None
        # Some servers mean by deflate what it says, without a header around it.
        # Source: RFC 1950, section 2.2, for what the header's two bytes are.
        check = int.from_bytes(packed[:_HEADER_BYTES])
        has_header = packed[0] & 15 == zlib.DEFLATED and check % 31 == 0
        self.is_sure = self._is_gzip or has_header
        window = _GZIP if self._is_gzip else _ZLIB if has_header else _BARE
        self._stream = zlib.decompressobj(window)
        return self._stream


def unpacker_of(encoding: str) -> Unpacker | None:
    """What undoes an encoding; None where there is none to undo, or another."""
    word = encoding.strip().lower()
    if word in {"gzip", "x-gzip", "deflate"}:
        return Unpacker(is_gzip=word != "deflate")
    return None


def _unpacked(stream: zlib._Decompress, packed: bytes, size: int) -> Iterator[bytes]:
    piece = b""
    while packed or len(piece) == size:
        piece = stream.decompress(packed, size)
        if piece:
            yield piece
        if stream.eof:
            return
        packed = stream.unconsumed_tail

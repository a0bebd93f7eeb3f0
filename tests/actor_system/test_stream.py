"""Messages cut out of a stream, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.actor_system.stream import Cutter, framed
from actors.host.frames import MAX_FRAME, FrameError, Refusal


def take(cutter: Cutter, received: bytes) -> list[bytes]:
    return cutter.take(memoryview(received))


@given(st.lists(st.binary(max_size=40), max_size=12), st.data())
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(framed, messages))
    cutter, taken = Cutter(), []

    while stream:
        size = data.draw(st.integers(1, len(stream)))
        taken += take(cutter, stream[:size])
        stream = stream[size:]

    assert taken == messages


def test_a_long_message_is_whole_only_at_its_end() -> None:
    message = bytes(range(256)) * 4096
    stream = framed(message)
    cutter = Cutter()

    pieces = [stream[at : at + 65536] for at in range(0, len(stream), 65536)]
    taken = [take(cutter, piece) for piece in pieces]

    assert taken == [*([[]] * (len(pieces) - 1)), [message]]


@pytest.mark.parametrize("before", [b"", framed(b"one"), framed(b"one")[:5]])
def test_a_length_is_refused_when_it_is_announced(before: bytes) -> None:
    cutter = Cutter()
    rest = framed(b"one")[len(before) :] if 0 < len(before) < 7 else b""
    take(cutter, before)

    with pytest.raises(FrameError) as caught:
        take(cutter, rest + (MAX_FRAME + 1).to_bytes(4))

    assert caught.value.refusal is Refusal.TOO_LONG


def test_the_longest_message_is_taken() -> None:
    assert take(Cutter(), framed(bytes(MAX_FRAME))) == [bytes(MAX_FRAME)]

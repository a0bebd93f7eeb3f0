"""The rules of frames, without a socket."""

from __future__ import annotations

import itertools

import pytest

from actors.runtime.frames import (
    MAX_AGE_NS,
    MAX_FRAME,
    WINDOW,
    FrameBuffer,
    FrameError,
    Kind,
    Opener,
    Quiet,
    Refusal,
    Sealer,
    with_length,
)

KEY = b"k" * 32
PORT = 4711
FROM = 4712


class Clock:
    def __init__(self) -> None:
        self.ns = 10**12

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sealer(clock: Clock) -> Sealer:
    return Sealer(KEY, b"sender-1", clock)


@pytest.fixture
def opener(clock: Clock) -> Opener:
    return Opener(KEY, clock, {PORT: 0})


def refusal(opener: Opener, frame: bytes) -> Refusal:
    with pytest.raises(FrameError) as caught:
        opener.open(frame)
    return caught.value.refusal


def test_what_is_sealed_is_opened(sealer: Sealer, opener: Opener) -> None:
    frame = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"hello")

    assert opener.open(frame) == (Kind.MESSAGE, FROM, b"hello")


def test_one_bit_changed_anywhere_is_noticed(sealer: Sealer, opener: Opener) -> None:
    frame = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"hello")

    for index, bit in itertools.product(range(len(frame)), range(8)):
        changed = bytearray(frame)
        changed[index] ^= 1 << bit
        assert refusal(opener, bytes(changed)) is Refusal.FORGED


def test_a_frame_of_another_key_is_refused(clock: Clock, opener: Opener) -> None:
    frame = Sealer(b"x" * 32, b"sender-1", clock).seal(
        Kind.MESSAGE, (FROM, PORT), b"hello"
    )

    assert refusal(opener, frame) is Refusal.FORGED


@pytest.mark.parametrize("frame", [b"", b"x", b"x" * 36])
def test_what_is_too_short_to_be_signed_is_refused(
    frame: bytes, opener: Opener
) -> None:
    assert refusal(opener, frame) is Refusal.GARBLED


def test_a_frame_is_opened_once(sealer: Sealer, opener: Opener) -> None:
    frame = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"hello")
    opener.open(frame)

    assert refusal(opener, frame) is Refusal.REPEATED


def test_a_frame_for_another_process_is_refused(sealer: Sealer, opener: Opener) -> None:
    frame = sealer.seal(Kind.MESSAGE, (FROM, PORT + 1), b"hello")

    assert refusal(opener, frame) is Refusal.MISDIRECTED


def test_a_frame_from_before_the_process_was_there_is_refused(
    clock: Clock, sealer: Sealer
) -> None:
    frame = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"for whoever had this port before")
    later = Opener(KEY, clock, {PORT: clock.ns + 1})

    assert refusal(later, frame) is Refusal.STALE


def test_frames_are_taken_in_any_order(sealer: Sealer, opener: Opener) -> None:
    frames = [
        sealer.seal(Kind.MESSAGE, (FROM, PORT), b"%d" % each) for each in range(9)
    ]

    opened = [opener.open(frame).payload for frame in reversed(frames)]

    assert opened == [b"%d" % each for each in reversed(range(9))]


def test_what_has_left_the_window_counts_as_repeated(
    sealer: Sealer, opener: Opener
) -> None:
    first = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"first")
    opener.open(first)
    for _ in range(WINDOW + 1):
        opener.open(sealer.seal(Kind.MESSAGE, (FROM, PORT), b"more"))

    assert refusal(opener, first) is Refusal.REPEATED


def test_forgetting_a_silent_sender_does_not_let_its_frames_in_again(
    clock: Clock, sealer: Sealer, opener: Opener
) -> None:
    old = sealer.seal(Kind.MESSAGE, (FROM, PORT), b"old")
    opener.open(old)
    clock.ns += MAX_AGE_NS + 1

    for index in range(3):
        other = Sealer(KEY, b"sender-%d" % (index + 2), clock)
        opener.open(other.seal(Kind.MESSAGE, (FROM, PORT), b"new"))

    assert refusal(opener, old) is Refusal.STALE


def test_an_acknowledgement_is_no_message(sealer: Sealer, opener: Opener) -> None:
    frame = sealer.seal(Kind.ACKNOWLEDGED, (0, 0), b"")

    assert opener.open(frame).kind is Kind.ACKNOWLEDGED
    assert opener.open(frame).kind is Kind.ACKNOWLEDGED


# What a socket yields.


def test_a_frame_is_whole_however_it_is_cut() -> None:
    frame = bytes(range(256)) * 3
    wire = with_length(frame)

    for size in (1, 2, 7, 20, len(wire)):
        buffer = FrameBuffer(lambda content: content)
        for start in range(0, len(wire), size):
            assert not buffer.isDone()
            buffer.addMore(wire[start : start + size])
        assert buffer.isDone()
        assert buffer.completed() == (frame, b"")


def test_what_comes_behind_a_frame_is_kept_apart() -> None:
    buffer = FrameBuffer(lambda content: content)

    buffer.addMore(with_length(b"one") + with_length(b"two"))

    assert buffer.completed() == (b"one", b"3>two")
    buffer.removeExtra()
    assert buffer.completed() == (b"one", b"")


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"10000000000>", Refusal.TOO_LONG),
        (b"10000000000", Refusal.TOO_LONG),
        (b"%d>" % (MAX_FRAME + 1), Refusal.TOO_LONG),
        (b"GET / HTTP/1.1\r\n", Refusal.GARBLED),
        (b">", Refusal.GARBLED),
        (b"-5>", Refusal.GARBLED),
        (b"\x80\x04\x95", Refusal.GARBLED),
        ("٣>".encode(), Refusal.GARBLED),
    ],
)
def test_a_length_is_refused_when_it_is_announced(
    received: bytes, expected: Refusal
) -> None:
    buffer = FrameBuffer(lambda content: content)

    buffer.addMore(received)

    assert buffer.isDone()
    assert buffer.completed() is None
    assert buffer.refused is not None
    assert buffer.refused.refusal is expected


def test_nothing_more_is_kept_of_what_is_refused() -> None:
    buffer = FrameBuffer(lambda content: content)
    buffer.addMore(b"10000000000>")

    for _ in range(100):
        buffer.addMore(b"x" * 10_000)

    assert buffer.completed() is None
    assert 0 < buffer.remainingAmount() <= 1 << 15
    assert len(str(buffer)) < 40


def test_a_frame_is_opened_once_however_often_it_is_asked_for(
    sealer: Sealer, opener: Opener
) -> None:
    buffer = FrameBuffer(lambda frame: opener.open(frame).payload)
    buffer.addMore(with_length(sealer.seal(Kind.MESSAGE, (FROM, PORT), b"hello")))

    assert buffer.completed() == buffer.completed() == (b"hello", b"")


def test_a_refusal_is_told_once_and_counted() -> None:
    quiet = Quiet(every_s=60.0)

    told = [quiet.note(Refusal.FORGED, now) for now in (0.0, 1.0, 2.0, 61.0, 62.0)]

    assert told == [1, None, None, 3, None]
    assert quiet.note(Refusal.GARBLED, 62.0) == 1

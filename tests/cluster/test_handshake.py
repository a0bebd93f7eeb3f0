"""Two ends of a line, facing each other, without a socket."""

from __future__ import annotations

import itertools

import pytest

from actors.cluster.handshake import MAX_FIRST, Handshake
from actors.cluster.keys import Key
from actors.host.frames import MAX_FRAME, FrameError, Refusal, derive, tag_of

KEY = Key(b"k" * 40)


class Pair:
    """A line, and all that went over it."""

    def __init__(self, key: Key = KEY, other_key: Key = KEY) -> None:
        self.nonces = itertools.count(1)
        self.dialler = Handshake(key, self.nonce(), dials=True)
        self.gate = Handshake(other_key, self.nonce(), dials=False)

    def nonce(self) -> bytes:
        return next(self.nonces).to_bytes(32)

    def open(self) -> tuple[bytes, bytes]:
        asked = take(self.dialler)
        assert list(self.gate.feed(asked)) == []
        answered = take(self.gate)
        assert list(self.dialler.feed(answered)) == []
        return asked, answered


def take(end: Handshake) -> bytes:
    outgoing, end.outgoing = end.outgoing, b""
    return outgoing


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.open()
    return pair


def refusal(end: Handshake, received: bytes) -> Refusal:
    with pytest.raises(FrameError) as caught:
        list(end.feed(received))
    return caught.value.refusal


def test_two_with_the_same_key_understand_each_other(pair: Pair) -> None:
    assert pair.dialler.is_open
    assert pair.gate.is_open
    there = pair.dialler.seal(b"one") + pair.dialler.seal(b"two")
    assert list(pair.gate.feed(there)) == [b"one", b"two"]
    assert list(pair.dialler.feed(pair.gate.seal(b"three"))) == [b"three"]


def test_what_comes_in_pieces_is_put_together() -> None:
    pair = Pair()
    asked = take(pair.dialler)
    for index in range(len(asked)):
        list(pair.gate.feed(asked[index : index + 1]))
    list(pair.dialler.feed(take(pair.gate)))
    sealed = pair.dialler.seal(b"hello")

    heard = [each for byte in sealed for each in pair.gate.feed(bytes((byte,)))]

    assert heard == [b"hello"]


def test_who_has_another_key_gets_no_answer() -> None:
    pair = Pair(other_key=Key(b"x" * 40))

    assert refusal(pair.gate, take(pair.dialler)) is Refusal.FORGED
    assert pair.gate.outgoing == b""
    assert not pair.gate.is_open


def test_an_answer_to_another_question_is_refused() -> None:
    _, answered = Pair().open()
    other = Handshake(KEY, b"n" * 32, dials=True)

    assert refusal(other, answered) is Refusal.FORGED


def test_a_question_is_no_answer() -> None:
    dialler = Handshake(KEY, b"n" * 32, dials=True)
    mirrored = take(dialler)

    assert refusal(dialler, mirrored) is Refusal.FORGED


def test_a_recorded_line_played_again_says_nothing() -> None:
    pair = Pair()
    asked, _ = pair.open()
    recorded = pair.dialler.seal(b"stop everything")
    again = Handshake(KEY, b"m" * 32, dials=False)

    list(again.feed(asked))

    assert refusal(again, recorded) is Refusal.FORGED


@pytest.mark.parametrize("order", [(0, 0), (1,), (1, 0)], ids=["twice", "gap", "swap"])
def test_frames_come_each_once_and_in_order(pair: Pair, order: tuple[int, ...]) -> None:
    sealed = [pair.dialler.seal(b"%d" % each) for each in range(2)]

    assert refusal(pair.gate, b"".join(sealed[i] for i in order)) is Refusal.FORGED


def test_a_frame_turned_back_is_refused(pair: Pair) -> None:
    assert refusal(pair.dialler, pair.dialler.seal(b"hello")) is Refusal.FORGED


def test_a_changed_frame_is_refused(pair: Pair) -> None:
    sealed = bytearray(pair.dialler.seal(b"hello"))
    sealed[-1] ^= 1

    assert refusal(pair.gate, bytes(sealed)) is Refusal.FORGED


@pytest.mark.parametrize(
    "received", [b"GET / HTTP/1.1\r\n", b"\x00" * 56, b"lowtideX", b"x"]
)
def test_strangers_are_hung_up_on_at_the_first_wrong_byte(received: bytes) -> None:
    assert refusal(Pair().gate, received) is Refusal.GARBLED


def test_a_length_is_refused_when_it_is_announced(pair: Pair) -> None:
    list(pair.gate.feed(pair.dialler.seal(b"first")))

    assert refusal(pair.gate, (MAX_FRAME + 1).to_bytes(4)) is Refusal.TOO_LONG


def test_who_has_not_shown_the_key_of_this_line_may_not_say_much(pair: Pair) -> None:
    assert refusal(pair.gate, (MAX_FIRST + 1).to_bytes(4)) is Refusal.TOO_LONG


# A machine with a key of its own.

ONE, TWO = KEY.of("one"), KEY.of("two")


def test_a_machine_with_its_own_key_is_known_by_its_name() -> None:
    pair = Pair(key=ONE)
    pair.open()

    assert pair.gate.machine == "one"
    assert list(pair.gate.feed(pair.dialler.seal(b"there"))) == [b"there"]
    assert list(pair.dialler.feed(pair.gate.seal(b"here"))) == [b"here"]
    assert Pair().gate.machine == ""


@pytest.mark.parametrize(
    "has", [ONE, Key(ONE.secret), Key(ONE.secret, "two"), Key(ONE.secret).of("two")]
)
@pytest.mark.parametrize("believes", [KEY, TWO])
def test_with_a_machines_key_nobody_leads_another(has: Key, believes: Key) -> None:
    member = Handshake(believes, b"m" * 32, dials=True)
    asked = take(member)
    false = Handshake(has, b"f" * 32, dials=False)

    # It does not even understand what it is asked,
    assert refusal(false, asked) is Refusal.FORGED
    # and where it answers all the same, it is not believed.
    answer = answered(has, believes.machine, asked[-48:-16])
    assert refusal(member, answer) is Refusal.FORGED
    assert not member.is_open


def answered(key: Key, name: str, asked: bytes) -> bytes:
    """What the protocol answers, by whoever has this key."""
    hello = b"lowtide2" + bytes((len(name),)) + name.encode() + b"f" * 32
    line_key = derive(key.secret, b"lowtide line")
    return hello + tag_of(line_key, hello + asked, b"lowtide hello")


@pytest.mark.parametrize("key", [KEY, TWO])
def test_with_the_key_that_a_member_believes_somebody_leads_it(key: Key) -> None:
    member = Handshake(key, b"m" * 32, dials=True)
    asked = take(member)

    assert list(member.feed(answered(key, key.machine, asked[-48:-16]))) == []

    assert member.is_open


@pytest.mark.parametrize(
    "has", [ONE, Key(ONE.secret), Key(ONE.secret, "two"), Key(ONE.secret).of("two")]
)
def test_with_a_machines_key_nobody_joins_as_another(has: Key) -> None:
    pair = Pair(key=has)
    asked = take(pair.dialler)
    if has == ONE:
        asked = asked.replace(b"one", b"two")

    assert refusal(pair.gate, asked) is Refusal.FORGED
    assert pair.gate.outgoing == b""


def test_a_name_that_is_no_text_is_refused() -> None:
    hello = b"lowtide2" + bytes((3,)) + b"\xff\xfe\xfd" + b"n" * 48

    assert refusal(Pair().gate, hello) is Refusal.GARBLED

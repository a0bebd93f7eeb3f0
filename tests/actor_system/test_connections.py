"""Connections between processes that are none, over real sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from actors.actor_system import connections as module
from actors.actor_system import sockets
from actors.actor_system.connections import MAX_SILENT, MAX_WAITING
from actors.actor_system.stream import framed
from actors.host import logs
from tests.actor_system.conftest import Party, turn_until

if TYPE_CHECKING:
    from actors.actor_system.sockets import Directory

Make = Callable[[str], Party]
Told = list[Any]


@pytest.fixture
def told() -> Iterator[Told]:
    logs.current()
    with capture_logs() as told:
        yield told


def greeting(name: str) -> bytes:
    return b"lowtide\1" + name.encode().ljust(sockets.MAX_NAME, b"\0")


def sockets_of(*parties: Party) -> int:
    return sum(len(each.connections._by_fd) for each in parties)  # noqa: SLF001


def test_one_connection_is_made_for_each_pair_and_kept(party: Make) -> None:
    one, other = party("one"), party("other")

    for number in range(20):
        assert one.send(other, b"there %d" % number)
        turn_until(lambda: len(other.received) > len(one.received), other)
        assert other.send(one, b"back %d" % number)
        turn_until(lambda: len(other.received) == len(one.received), one)

    assert other.received == [("one", b"there %d" % n) for n in range(20)]
    assert one.received == [("other", b"back %d" % n) for n in range(20)]
    assert sockets_of(one, other) == 2


def test_one_that_accepts_nothing_is_hung_and_not_dead(
    party: Make, directory: Directory, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    monkeypatch.setattr(sockets, "_BACKLOG", 1)
    hung, *others = [party(name) for name in ("hung", "a", "b", "c", "d")]

    assert all(each.send(hung, each.name.encode()) for each in others)

    dropped = [each for each in told if each["event"] == "message.dropped"]
    assert [each["receiver"] for each in dropped] == ["hung", "hung"]
    turn_until(lambda: len(hung.received) == 2, hung)
    assert others[-1].send(hung, b"again")
    turn_until(lambda: len(hung.received) == 3, hung)


def test_two_that_speak_first_at_once_both_arrive_in_order(party: Make) -> None:
    one, other = party("one"), party("other")

    for number in range(5):
        one.send(other, b"%d" % number)
        other.send(one, b"%d" % number)
    turn_until(lambda: len(one.received) == len(other.received) == 5, one, other)

    assert one.contents == other.contents == [b"%d" % n for n in range(5)]


def test_a_long_message_crosses_in_parts_and_blocks_nobody(party: Make) -> None:
    one, slow, quick = party("one"), party("slow"), party("quick")
    long = os.urandom(3 << 20)

    one.send(slow, long)
    one.send(slow, b"after it")
    one.send(quick, b"at once")
    turn_until(lambda: quick.received, quick)
    assert slow.received == []
    assert one.connections.waiting

    turn_until(lambda: len(slow.received) == 2, one, slow)
    assert slow.contents == [long, b"after it"]
    assert not one.connections.waiting


def test_for_one_who_does_not_read_so_much_waits_and_no_more(
    party: Make, told: Told
) -> None:
    one, hung, well = party("one"), party("hung"), party("well")
    content = bytes(1 << 20)

    for _ in range(40):
        assert one.send(hung, content)

    peer = one.connections._by_name["hung"]  # noqa: SLF001
    assert peer.waiting <= MAX_WAITING + len(content) + 4
    assert [(each["event"], each["reason"]) for each in told] == [
        ("message.dropped", "the receiver does not read")
    ]
    assert one.send(well, b"hello")
    turn_until(lambda: well.received, well)
    # What had waited is whole; what was dropped is as if it had got lost.
    turn_until(lambda: not one.connections.waiting, one, hung)
    assert set(hung.contents) == {content}
    assert one.send(hung, b"last")
    turn_until(lambda: hung.contents[-1] == b"last", one, hung)


def test_what_waits_for_one_who_dies_is_given_up_and_nobody_else_gets_it(
    party: Make, directory: Directory
) -> None:
    one, victim = party("one"), party("victim")
    for _ in range(4):
        one.send(victim, b"secret" * 100_000)
    assert one.connections.waiting

    victim.die()
    turn_until(lambda: not one.connections.waiting, one)
    directory.forget("victim")
    heir = party("victim")  # somebody who takes the dead one's name
    heir.turn()

    assert heir.received == []
    assert sockets_of(one) == 0


def test_one_who_is_not_there_costs_nothing(party: Make) -> None:
    one = party("one")

    assert not one.connections.send("nobody", b"hello")
    assert sockets_of(one) == 0


def test_a_child_that_has_ended_is_forgotten_by_name(
    party: Make, directory: Directory
) -> None:
    one, child = party("one"), party("child")
    one.send(child, b"hello")
    child.turn()

    one.connections.drop("child")

    assert sockets_of(one) == 0
    assert not (directory.path / "child").exists()


@pytest.mark.parametrize(
    "content",
    [
        *(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(1000), b"\0" * 100),
        *(greeting("../etc"), greeting("a b"), greeting(""), b"lowtide\2" + b"x" * 50),
    ],
)
def test_what_is_no_greeting_is_hung_up_on_and_nothing_of_it_kept(
    party: Make, directory: Directory, told: Told, content: bytes
) -> None:
    one = party("one")
    with directory.dial("one") as stranger:
        stranger.send(content)

        turn_until(lambda: told, one)

        assert [each["reason"] for each in told] == ["no frame"]
    assert sockets_of(one) == 0
    assert one.received == []


def test_before_its_name_is_whole_nothing_is_kept_of_a_connection(
    party: Make, directory: Directory
) -> None:
    one = party("one")
    with directory.dial("one") as slow:
        for byte in greeting("slow") + framed(b"hello"):
            slow.send(bytes([byte]))
            one.turn()
            one.turn()

    assert one.received == [("slow", b"hello")]


def test_a_message_above_the_limit_ends_its_connection_when_it_is_announced(
    party: Make, directory: Directory, told: Told
) -> None:
    one = party("one")
    with directory.dial("one") as other:
        other.send(greeting("other") + (5 << 20).to_bytes(4) + b"x" * 1000)

        turn_until(lambda: told, one)

    assert [each["reason"] for each in told] == ["too long"]
    assert sockets_of(one) == 0


def test_of_many_silent_ones_the_oldest_go_and_those_who_spoke_stay(
    party: Make, directory: Directory, told: Told
) -> None:
    one, well = party("one"), party("well")
    well.send(one, b"before")
    turn_until(lambda: one.received, one)
    with ExitStack() as stack:
        spoke = stack.enter_context(directory.dial("one"))
        silent = []
        for _ in range(1000):
            silent.append(stack.enter_context(directory.dial("one")))
            one.turn()
        spoke.close()
        late = directory.dial("one")
        late.send(greeting("late") + framed(b"hello"))
        turn_until(lambda: len(one.received) == 2, one)
        late.close()

        assert sockets_of(one) <= MAX_SILENT + 2
        assert silent[0].recv(1) == b""
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)
    well.send(one, b"after")
    turn_until(lambda: len(one.received) == 3, one)
    assert one.contents == [b"before", b"hello", b"after"]
    assert {each["reason"] for each in told} == {"said nothing"}


def test_one_who_spoke_while_it_was_not_looked_at_is_not_silent(
    party: Make, directory: Directory
) -> None:
    one = party("one")
    with ExitStack() as stack:
        for number in range(MAX_SILENT + 20):
            each = stack.enter_context(directory.dial("one"))
            each.send(greeting(f"n{number}") + framed(b"hello"))
        turn_until(lambda: len(one.received) == MAX_SILENT + 20, one)

    assert len({name for name, _ in one.received}) == MAX_SILENT + 20


def test_without_files_left_the_silent_go_first_and_new_ones_are_turned_away(
    party: Make, directory: Directory, told: Told
) -> None:
    one, well = party("one"), party("well")
    well.send(one, b"before")
    turn_until(lambda: one.received, one)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        named = [stack.enter_context(directory.dial("one")) for _ in range(8)]
        # Files of this process are those of all parties: none is left to accept.
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        taken = []
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        try:
            turn_until(lambda: told, one)
            for _ in range(20):
                one.turn()
            well.send(one, b"after")
            turn_until(lambda: len(one.received) == 2, one)
            # Nothing waits at the door, where it would be ready for ever.
            assert one.connections.poll.poll(0) == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for fd in taken:
                os.close(fd)
        assert {each.recv(1) for each in named} == {b""}
    assert {each["reason"] for each in told} == {
        "more connections than files are allowed"
    }


def test_where_the_spare_file_was_taken_as_well_others_are_turned_away_later(
    party: Make, directory: Directory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, well = party("one"), party("well")
    well.send(one, b"before")
    turn_until(lambda: one.received, one)

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with directory.dial("one"), directory.dial("one"), monkeypatch.context() as patch:
        # What a thread of the user's does in that moment: it opens what was closed.
        patch.setattr(os, "open", none_left)
        highest = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
        taken = []
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(2))
        try:
            for _ in range(3):
                one.turn()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for fd in taken:
                os.close(fd)
    well.send(one, b"after")
    turn_until(lambda: len(one.received) == 2, one)

    assert told[0]["reason"] == "more connections than files are allowed"


def test_another_users_connection_is_closed_before_a_byte_is_read(
    party: Make, directory: Directory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = party("one")
    with directory.dial("one") as other:
        other.send(greeting("other") + framed(b"hello"))
        monkeypatch.setattr(module, "is_ours", lambda _: False)

        turn_until(lambda: told, one)

        assert [each["reason"] for each in told] == ["another user's"]
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    assert one.received == []


def test_a_queue_costs_the_hundredth_peer_what_it_costs_the_first(
    party: Make,
) -> None:
    one = party("one")
    others = [party(f"p{number}") for number in range(100)]
    looks: list[int] = []

    class Counting(dict[str, Any]):
        def get(self, *each: Any) -> Any:
            looks.append(1)
            return super().get(*each)

        def values(self) -> Any:
            raise AssertionError("all peers are looked at")

        __iter__ = items = values

    one.connections._by_name = Counting()  # noqa: SLF001
    for each in others * 3:
        assert one.send(each, b"hello")
    turn_until(lambda: all(len(each.received) == 3 for each in others), *others)

    assert len(looks) == 300


def test_a_socket_that_ends_while_it_is_written_to_is_given_up(party: Make) -> None:
    one, other = party("one"), party("other")
    one.send(other, b"hello")
    other.turn()
    other.die()

    assert not one.send(other, b"gone")
    assert sockets_of(one) == 0


def test_a_directory_that_was_removed_is_made_again_and_all_can_be_reached(
    party: Make, directory: Directory, tmp_path: Path
) -> None:
    one, other = party("one"), party("other")
    shutil.rmtree(directory.path)

    one.connections.look()
    other.connections.look()

    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert one.send(other, b"hello")
    turn_until(lambda: other.received, other)


def test_a_directory_that_was_closed_to_us_ends_nothing(
    party: Make, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = party("one"), party("other")
    one.send(other, b"before")
    turn_until(lambda: other.received, other)

    def refused(path: object, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "permission denied", path)

    with monkeypatch.context() as patch:
        # As chmod 0 of the state directory does to whoever is not root.
        for name in ("stat", "mkdir"):
            patch.setattr(Path, name, refused)
        one.connections.look()
    other.send(one, b"after")
    turn_until(lambda: one.received, one)

    assert one.contents == [b"after"]

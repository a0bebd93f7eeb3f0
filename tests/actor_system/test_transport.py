"""A transport's mailbox, timers and watched descriptors, in this process."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from thespian.actors import ActorAddress, ActorExitRequest, WakeupMessage, WatchMessage
from thespian.system.addressManager import ActorAddressManager, CannotPickleAddress
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.transport import (
    ReceiveEnvelope,
    Thespian__Run_Expired,
    Thespian__Run_Terminated,
    TransmitIntent,
    TransmitOnly,
)

from actors.actor_system.transport import Endpoint, Transport
from actors.demand.messages import Confirm
from actors.host import unpickling
from actors.host.frames import MAX_MESSAGE

if TYPE_CHECKING:
    from actors.actor_system.sockets import Directory

Make = Callable[[str], Transport]
SOON = timedelta(seconds=30)
NOW = timedelta(0)

unpickling.admit((Confirm,))


@pytest.fixture
def transport(directory: Directory) -> Iterator[Make]:
    made: list[Transport] = []

    def make(name: str) -> Transport:
        made.append(Transport(Endpoint(directory, name, "admin")))
        return made[-1]

    yield make
    for each in made:
        each.close()


def say(text: str) -> Confirm:
    return Confirm(subscription=text, outcomes=())


def test_a_message_arrives_with_its_senders_address(transport: Make) -> None:
    one, other = transport("one"), transport("other")

    assert one.send("other", say("hello"))
    envelope = other.run(None, SOON)

    assert isinstance(envelope, ReceiveEnvelope)
    assert envelope.message == say("hello")
    assert envelope.sender == one.myAddress == ActorAddress("one")


def test_what_a_process_tells_itself_is_not_copied(transport: Make) -> None:
    one, message = transport("one"), object()

    one.send("one", message)

    assert one.run(None, NOW).message is message


def test_a_class_that_is_not_admitted_is_refused_and_the_next_message_arrives(
    transport: Make,
) -> None:
    one, other = transport("one"), transport("other")

    one.send("other", Path("x"))
    one.send("other", say("hello"))

    assert other.run(None, SOON).message == say("hello")


def test_a_message_that_is_too_long_is_kept_apart(transport: Make) -> None:
    one, _ = transport("one"), transport("other")

    assert one.send("other", "x" * (MAX_MESSAGE + 1))

    [(message, size)] = one.too_long
    assert len(message) == MAX_MESSAGE + 1 < size


def test_timers_fire_in_order_within_two_milliseconds_and_never_early(
    transport: Make,
) -> None:
    one = transport("one")
    rounds: list[list[tuple[float, float]]] = []

    def handle(envelope: ReceiveEnvelope) -> bool:
        assert isinstance(envelope.message, WakeupMessage)
        began, delay_s = envelope.message.payload
        rounds[-1].append((delay_s, time.monotonic() - began - delay_s))
        return len(rounds[-1]) < 5

    # This machine may be busy, but not each time.
    while not rounds or (
        min(late for _, late in rounds[-1]) > 0.002 and len(rounds) < 100
    ):
        rounds.append([])
        began = time.monotonic()
        for delay_s in (0.03, 0.01, 0.02, 0.0, 0.02):
            one.addWakeup(timedelta(seconds=delay_s), (began, delay_s))
        one.run(handle, SOON)

    for told in rounds:
        assert [delay_s for delay_s, _ in told] == [0.0, 0.01, 0.02, 0.02, 0.03]
    assert min(late for told in rounds for _, late in told) >= 0
    assert min(late for _, late in rounds[-1]) < 0.002


def test_a_timer_is_not_kept_waiting_by_messages(transport: Make) -> None:
    one = transport("one")
    handled: list[Any] = []
    for number in range(10_000):
        one.send("one", number)
    one.addWakeup(NOW, "due")

    def handle(envelope: ReceiveEnvelope) -> bool:
        handled.append(envelope.message)
        return not isinstance(envelope.message, WakeupMessage)

    one.run(handle, SOON)

    assert len(handled) < 100


def test_watched_descriptors_wake_and_one_that_is_closed_is_let_go(
    transport: Make,
) -> None:
    one = transport("one")
    reader, writer = os.pipe()
    one.set_watch([reader])
    os.write(writer, b"x")

    envelope = one.run(None, SOON)

    assert isinstance(envelope.message, WatchMessage)
    assert envelope.message.ready == [reader]
    os.close(reader)
    os.close(writer)
    assert isinstance(one.run(None, timedelta(seconds=0.05)), Thespian__Run_Expired)
    one.set_watch([])


def test_a_descriptor_that_is_closed_and_made_anew_is_watched(transport: Make) -> None:
    one = transport("one")
    for _ in range(3):
        reader, writer = os.pipe()
        one.set_watch([reader])
        os.write(writer, b"x")
        assert one.run(None, SOON).message.ready == [reader]
        os.close(reader)
        os.close(writer)


def test_a_watched_number_that_became_a_connection_stays_one(transport: Make) -> None:
    one, other = transport("one"), transport("other")
    reader, writer = os.pipe()
    one.set_watch([reader])
    os.close(reader)
    assert one.send("other", say("there"))  # takes the number that is free
    assert reader in one._connections  # noqa: SLF001
    one.set_watch([])
    os.close(writer)

    assert other.run(None, SOON).message == say("there")
    other.send("one", say("back"))

    assert one.run(None, SOON).message == say("back")


def test_a_watched_number_that_was_a_connection_for_a_while_is_let_go(
    transport: Make,
) -> None:
    one, other = transport("one"), transport("other")
    reader, writer = os.pipe()
    one.set_watch([reader])
    os.close(reader)
    assert one.send("other", say("there"))  # takes the number that is free
    assert reader in one._connections  # noqa: SLF001
    other.close()
    assert not one.send("other", say("gone"))
    one.set_watch([])
    os.close(writer)

    assert isinstance(one.run(None, NOW), Thespian__Run_Expired)


def test_run_ends_when_time_is_over_or_it_is_told_to(transport: Make) -> None:
    one = transport("one")

    assert isinstance(one.run(None, NOW), Thespian__Run_Expired)
    assert isinstance(one.run(lambda _: True, NOW), Thespian__Run_Expired)
    one.send("one", "end")

    def handle(_: ReceiveEnvelope) -> bool:
        one.abort_run(drain=True)
        return True

    assert isinstance(one.run(handle, SOON), Thespian__Run_Terminated)


def test_to_send_only_is_to_handle_nothing(transport: Make) -> None:
    one, other = transport("one"), transport("other")
    other.send("one", say("not yet"))
    for _ in range(40):
        one.send("other", "x" * 100_000)

    assert one.run(TransmitOnly, timedelta(seconds=0.05))
    for _ in range(20):
        other.run(None, NOW)
        one.run(TransmitOnly, NOW)
    while one.run(TransmitOnly, timedelta(seconds=0.01)):
        other.run(None, NOW)

    assert one.run(None, NOW).message == say("not yet")


def test_signals_are_told_in_the_loop(transport: Make) -> None:
    one = transport("one")
    before = signal.signal(
        signal.SIGUSR2, lambda *_: one.interrupt_wait(check_children=True)
    )
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert isinstance(one.run(None, SOON).message, ChildMayHaveDied)
        one.interrupt_wait(signal_shutdown=True)
        assert isinstance(one.run(None, SOON).message, ActorExitRequest)
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_an_intent_is_told_whether_anybody_is_there(transport: Make) -> None:
    one, other = transport("one"), transport("other")
    results = []
    for target in (other.myAddress, ActorAddress("nobody")):
        intent = TransmitIntent(target, say("hello"))
        intent.addCallback(
            lambda result, _: results.append(bool(result)),
            lambda result, _: results.append(bool(result)),
        )
        one.scheduleTransmit(None, intent)

    assert results == [True, False]


def test_what_is_for_a_child_that_has_no_address_yet_is_handed_back(
    transport: Make,
) -> None:
    one = transport("one")
    manager = ActorAddressManager(ActorAddress("admin"), one.myAddress)
    child = manager.createLocalAddress()

    with pytest.raises(CannotPickleAddress):
        one.scheduleTransmit(manager, TransmitIntent(child, say("hello")))

    manager.associateUseableAddress(one.myAddress, 0, ActorAddress("child"))
    intent = TransmitIntent(child, say("hello"))
    one.scheduleTransmit(manager, intent)
    assert intent.targetAddr.addressDetails == "child"


def test_a_fork_has_none_of_its_parents_sockets(transport: Make) -> None:
    before = sockets_of_this_process()
    one, other = transport("one"), transport("other")
    one.send("other", say("hello"))
    other.run(None, SOON)
    reader, writer = os.pipe()

    pid = os.fork()
    if pid == 0:
        sockets = sockets_of_this_process()
        sent = one.send("other", say("from a fork"))
        one.interrupt_wait()
        os.write(writer, pickle.dumps((sockets, sent)))
        os._exit(0)
    os.waitpid(pid, 0)

    sockets, sent = pickle.loads(os.read(reader, 1000))  # noqa: S301 - our own
    assert sent is False
    assert sockets == before
    one.send("other", say("still there"))
    assert other.run(None, SOON).message == say("still there")
    os.close(reader)
    os.close(writer)


def sockets_of_this_process() -> int:
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(each.readlink()).startswith("socket:")
    return count


def test_one_who_dies_is_known_to_be_dead_though_a_fork_of_it_lives(
    transport: Make, directory: Directory
) -> None:
    one = transport("one")
    ready, tell = os.pipe()
    hold, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        victim = Transport(Endpoint(directory, "victim", "admin"))
        victim.send("one", say("here"))
        if os.fork() == 0:  # as a job function may do
            os.close(release)
            os.write(tell, b"x")  # only now it has let go of its parent's sockets
            os.read(hold, 1)
            os._exit(0)
        time.sleep(60)
    os.read(ready, 1)
    assert one.run(None, SOON).message == say("here")

    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    assert not all(one.send("victim", say("secret")) for _ in range(2))
    for fd in (ready, tell, hold, release):
        os.close(fd)

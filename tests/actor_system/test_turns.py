"""Whose turn the mailbox is: its own thread's, or that of a worker that has a word."""

from __future__ import annotations

import contextvars
import ctypes
import math
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from thespian.actors import ActorAddress, WatchMessage
from thespian.system.transport import (
    ReceiveEnvelope,
    Thespian__Run_HandlerResult,
    TransmitOnly,
)

from actors.actor_system import transport
from actors.actor_system.transport import Endpoint, Transport
from actors.actor_system.worker import Permits, Worker
from actors.demand.messages import Confirm
from actors.host import unpickling
from actors.testing.processes import wait_until

if TYPE_CHECKING:
    from actors.actor_system.sockets import Directory

unpickling.admit((Confirm,))

FD = 999


def say(text: str) -> Confirm:
    return Confirm(subscription=text, outcomes=())


class Mailbox:
    """A transport whose run is in a thread of its own, and what it handled where."""

    def __init__(
        self, directory: Directory, name: str, handle: Callable[[Any], Any] | None
    ) -> None:
        self.transport = Transport(Endpoint(directory, name, "admin"))
        self.handled: list[tuple[Any, bool]] = []
        self.result: Any = None
        self._handle = handle
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def turn(self) -> bool:
        return self.transport.take_turn(FD)

    def take_turn(self) -> None:
        """Take a turn as soon as there is one."""
        wait_until(self.turn, "the mailbox waits")

    def messages(self) -> list[Any]:
        return [message for message, _ in self.handled]

    def end(self) -> None:
        """Have its run end, whatever it waits for."""
        self.transport.abort_run()
        self.transport.interrupt_wait()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.transport.close()

    def _run(self) -> None:
        self.result = self.transport.run(self._receive)

    def _receive(self, envelope: ReceiveEnvelope) -> Any:
        own = threading.current_thread() is self._thread
        self.handled.append((envelope.message, own))
        return True if self._handle is None else self._handle(envelope.message)


@pytest.fixture
def mailbox(directory: Directory) -> Iterator[Callable[..., Mailbox]]:
    with ExitStack() as ending:

        def make(
            handle: Callable[[Any], Any] | None = None, name: str = "one"
        ) -> Mailbox:
            made = Mailbox(directory, name, handle)
            ending.callback(made.end)
            return made

        yield make


def is_watch(message: Any) -> bool:
    return isinstance(message, WatchMessage)


def test_a_thread_takes_the_turn_while_the_mailbox_waits(
    mailbox: Callable[..., Mailbox],
) -> None:
    one = mailbox()

    one.take_turn()

    [(message, own)] = one.handled
    assert message.ready == [FD]
    assert not own


def test_there_is_no_turn_while_something_is_handled(
    mailbox: Callable[..., Mailbox],
) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def handle(_: Any) -> bool:
        busy.set()
        return go_on.wait(30)

    one = mailbox(handle)
    one.transport.addWakeup(timedelta(0), "begin")
    one.transport.interrupt_wait()
    assert busy.wait(30)

    taken = one.turn()
    go_on.set()

    assert not taken
    one.take_turn()


def test_one_at_a_time_has_the_mailbox(
    mailbox: Callable[..., Mailbox], directory: Directory
) -> None:
    inside = threading.Lock()
    overlaps: list[Any] = []
    taken = [0, 0, 0]

    def handle(message: Any) -> bool:
        if inside.acquire(blocking=False):
            time.perf_counter()  # lets others in, where nothing keeps them out
            inside.release()
        else:
            overlaps.append(message)
        return True

    one = mailbox(handle)
    other = Transport(Endpoint(directory, "other", "admin"))

    def take(number: int) -> None:
        end = time.monotonic() + 20
        while taken[number] < 300 and time.monotonic() < end:
            taken[number] += one.turn()

    takers = [threading.Thread(target=take, args=(number,)) for number in range(3)]
    for each in takers:
        each.start()
    sent = [say(str(number)) for number in range(300)]
    assert all(other.send("one", each) for each in sent)
    # The kernel takes no more than fits.
    assert not other.run(TransmitOnly, timedelta(seconds=30))
    for each in takers:
        each.join()

    def heard() -> list[Any]:
        return [each for each in one.messages() if not is_watch(each)]

    wait_until(lambda: len(heard()) == 300, "all messages arrive")
    other.close()
    assert heard() == sent
    assert taken == [300, 300, 300]
    assert not overlaps


def test_what_has_arrived_is_handled_before_the_next_turn(
    mailbox: Callable[..., Mailbox], directory: Directory
) -> None:
    """A worker that takes turn after turn does not keep others waiting."""

    def handle(message: Any) -> bool:
        if is_watch(message) and len(one.handled) == 1:
            assert other.send("one", say("arrived"))
            transport = one.transport
            wait_until(lambda: transport._is_wanted, "it is seen")  # noqa: SLF001
        return True

    other = Transport(Endpoint(directory, "other", "admin"))
    one: Mailbox = mailbox(handle)

    one.take_turn()
    one.take_turn()

    other.close()
    assert [is_watch(each) for each in one.messages()] == [True, False, True]


def test_after_many_turns_in_a_row_the_mailboxs_own_thread_has_one(
    mailbox: Callable[..., Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the interpreter may keep it from what has arrived: its lock is not fair."""
    monkeypatch.setattr(transport, "IN_A_ROW_S", math.inf)
    one = mailbox()
    for _ in range(transport.IN_A_ROW):
        one.take_turn()

    taken = [one.turn(), one.turn()]
    one.transport.interrupt_wait()

    assert taken == [False, False]
    one.take_turn()


def test_slow_turns_may_be_as_many_as_there_are(
    mailbox: Callable[..., Mailbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "IN_A_ROW_S", 0.0)
    one = mailbox()

    one.take_turn()

    assert [one.turn() for _ in range(3 * transport.IN_A_ROW)] == [
        True
    ] * 3 * transport.IN_A_ROW


def test_what_a_turn_tells_its_own_mailbox_is_handled_after_it(
    mailbox: Callable[..., Mailbox],
) -> None:
    def handle(message: Any) -> bool:
        if is_watch(message):
            one.transport.send("one", say("later"))
        return True

    one = mailbox(handle)

    one.take_turn()

    wait_until(lambda: say("later") in one.messages(), "it is handled")
    assert one.handled[-1] == (say("later"), True)


def test_a_timer_that_is_set_in_a_turn_fires(
    mailbox: Callable[..., Mailbox],
) -> None:
    """The mailbox waits for ever, as far as it knew."""

    def handle(message: Any) -> bool:
        if is_watch(message):
            one.transport.addWakeup(timedelta(seconds=0.01), "ring")
        return True

    one = mailbox(handle)

    one.take_turn()

    wait_until(lambda: len(one.handled) == 2, "it fires")
    assert one.messages()[-1].payload == "ring"


def test_whom_a_turn_speaks_to_first_is_heard(
    mailbox: Callable[..., Mailbox],
) -> None:
    """The connection is new, and the mailbox waits for those that were there."""

    def answer(message: Any) -> bool:
        return answers.transport.send("one", message)

    def handle(message: Any) -> bool:
        return not is_watch(message) or one.transport.send("other", say("hello"))

    answers: Mailbox = mailbox(answer, "other")
    one: Mailbox = mailbox(handle)

    one.take_turn()

    wait_until(lambda: say("hello") in one.messages(), "the answer arrives")


def test_what_a_turn_watches_is_watched(mailbox: Callable[..., Mailbox]) -> None:
    with Ready() as fd:

        def handle(message: Any) -> bool:
            watched = [] if message.ready == [fd] else [fd]
            one.transport.set_watch(watched)
            return True

        one = mailbox(handle)

        one.take_turn()

        wait_until(lambda: len(one.handled) == 2, "it is ready")
        assert one.messages()[-1].ready == [fd]


@contextmanager
def Ready() -> Iterator[int]:  # noqa: N802 - a thing
    """A descriptor that can be read."""
    worker = Worker("ready")
    worker.put("word")
    yield worker.fd
    worker.stop()


_bound: contextvars.ContextVar[str] = contextvars.ContextVar("_bound", default="none")


def test_the_caller_context_is_not_the_mailboxs(
    mailbox: Callable[..., Mailbox],
) -> None:
    found: list[str] = []

    def handle(_: Any) -> bool:
        found.append(_bound.get())
        return True

    one = mailbox(handle)
    _bound.set("the caller's")

    one.take_turn()

    assert found == ["none"]


def test_a_turn_that_ends_the_mailbox_ends_its_run(
    mailbox: Callable[..., Mailbox],
) -> None:
    one = mailbox(lambda _: None)

    one.take_turn()

    wait_until(lambda: one.result is not None, "the run ends")
    assert isinstance(one.result, Thespian__Run_HandlerResult)
    assert not one.turn()


def test_an_error_in_a_turn_is_its_takers_and_the_mailbox_looks_itself(
    mailbox: Callable[..., Mailbox],
) -> None:
    def handle(message: Any) -> bool:
        if is_watch(message) and len(one.handled) == 1:
            raise MemoryError
        return True

    one = mailbox(handle)

    def fails() -> bool:
        try:
            return one.turn()
        except MemoryError:
            return True

    wait_until(fails, "the turn is taken")

    wait_until(lambda: len(one.handled) == 2, "it is handled again")
    [(_, in_turn), (message, own)] = one.handled
    assert message.ready == [FD]
    assert (in_turn, own) == (False, True)


def test_what_traces_the_caller_does_not_see_the_mailbox(
    mailbox: Callable[..., Mailbox],
) -> None:
    """A thread that somebody ends by a trace function raises where that is called."""
    found: list[Any] = []

    def handle(_: Any) -> bool:
        found.append(sys.gettrace())
        return True

    def trace(*_: Any) -> None:
        """Trace nothing."""

    one = mailbox(handle)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        one.take_turn()
        after = sys.gettrace()
    finally:
        sys.settrace(before)

    assert found == [None]
    assert after is trace


def test_there_is_no_turn_where_nothing_runs(directory: Directory) -> None:
    idle = Transport(Endpoint(directory, "idle", "admin"))

    assert not idle.take_turn(FD)
    idle.close()


# A worker's side of it.


class Stage:
    """Takes what a worker hands over, or refuses."""

    def __init__(self, *, busy: bool = False) -> None:
        self.worker = Worker("worker")
        self.worker.turn = self.turn
        self.permits: Permits = self.worker.permits()
        self.busy = busy
        self.heard: list[Any] = []
        self.threads: set[str] = set()

    def turn(self, fd: int) -> bool:
        assert fd == self.worker.fd
        if self.busy:
            return False
        self.take()
        return True

    def take(self) -> None:
        self.threads.add(threading.current_thread().name)
        taken = self.worker.take()
        self.heard += taken
        self.permits.release(len(taken))

    def woken(self, within_s: float = 30.0) -> bool:
        return bool(select.select([self.worker.fd], [], [], within_s)[0])

    def call(self, run: Callable[[], Iterator[Any]]) -> None:
        self.worker.call(run, lambda error: iter([error]))


def test_a_word_before_a_wait_is_taken_in_the_threads_own_turn() -> None:
    stage = Stage()

    def run() -> Iterator[Any]:
        for number in range(3):
            stage.worker.waits_next()
            yield number
            yield from stage.permits.passed()

    stage.call(run)

    wait_until(lambda: stage.heard == [0, 1, 2], "all are taken")
    stage.worker.stop()
    assert stage.threads == {"worker"}
    assert not stage.woken(0)


def test_a_stage_that_is_busy_is_woken() -> None:
    stage = Stage(busy=True)

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"
        yield from stage.permits.passed()
        stage.worker.waits_next()
        yield "last"

    stage.call(run)

    assert stage.woken()
    assert stage.heard == []
    stage.take()
    wait_until(lambda: stage.woken(0), "the last is told")
    stage.take()
    stage.worker.stop()
    assert stage.heard == ["word", "last"]


def test_what_was_kept_for_a_turn_is_told_before_something_long_begins() -> None:
    stage, go_on = Stage(), threading.Event()

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"
        # More has come meanwhile, and takes long.
        stage.worker.speak()
        go_on.wait(30)

    stage.call(run)

    assert stage.woken()
    go_on.set()
    stage.worker.stop()


def test_what_was_kept_for_a_turn_is_heard_of_a_call_that_raises() -> None:
    stage = Stage()

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"
        raise MemoryError

    stage.call(run)

    wait_until(lambda: len(stage.heard) == 2, "both are heard")
    stage.worker.stop()
    assert stage.heard[0] == "word"
    assert isinstance(stage.heard[1], MemoryError)


def test_a_turn_that_takes_nothing_wakes_the_stage() -> None:
    """As where an error kept the stage from it."""
    stage = Stage()
    stage.worker.turn = lambda _: True

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"

    stage.call(run)

    assert stage.woken()
    stage.worker.stop()


def test_a_turn_that_raises_does_not_end_the_thread() -> None:
    """A library of the user's may raise in this thread from another, late."""
    stage = Stage()

    def fails(_: int) -> bool:
        stage.worker.turn = stage.turn
        raise KeyboardInterrupt

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"

    stage.worker.turn = fails
    stage.call(run)
    wait_until(lambda: "word" in stage.heard or stage.woken(0), "it is told")
    stage.take()
    stage.call(run)

    wait_until(lambda: stage.heard.count("word") == 2, "the next is run")
    stage.worker.stop()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_is_raised_in_a_thread_that_waits_costs_neither_it_nor_a_call(
    threads: int,
) -> None:
    """A timeout of a user's library that comes when its job has ended."""
    worker = Worker("struck", threads=threads)
    ran: list[int] = []

    def run() -> Iterator[Any]:
        ran.append(threading.get_ident())
        yield "word"

    for count in range(1, 9):
        worker.call(run, lambda error: iter([error]))
        wait_until(lambda: len(ran) == count, "it is run")  # noqa: B023 - at once
        assert select.select([worker.fd], [], [], 30)[0]
        worker.take()
        strike(ran[-1])
    worker.stop()


def strike(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(TimeoutError)
    )


def test_what_is_raised_before_the_stage_is_woken_wakes_it() -> None:
    stage = Stage()

    def run() -> Iterator[Any]:
        stage.worker.waits_next()
        yield "word"
        stage.worker._unsaid = False  # noqa: SLF001 - so far `speak` has come
        raise SystemExit

    stage.worker.turn = None
    stage.worker.call(run, lambda _: iter(()))

    assert stage.woken()
    stage.take()
    stage.worker.stop()
    assert stage.heard == ["word"]


def test_several_threads_wake_the_stage_as_ever() -> None:
    worker = Worker("several", threads=2)
    worker.turn = lambda _: pytest.fail("it took a turn")

    def run() -> Iterator[Any]:
        worker.waits_next()
        yield ActorAddress("x")

    worker.call(run, lambda error: iter([error]))

    assert select.select([worker.fd], [], [], 30)[0]
    worker.stop()

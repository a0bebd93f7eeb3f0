"""A Thespian transport: one process's mailbox, timers, and way to the others.

Thespian has no base class for one; what its managers call is what is here.
"""

from __future__ import annotations

import contextlib
import contextvars
import heapq
import itertools
import math
import os
import pickle
import select
import sys
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    WakeupMessage,
    WatchMessage,
)
from thespian.system.addressManager import CannotPickleAddress
from thespian.system.messages.multiproc import ChildMayHaveDied
from thespian.system.transport import (
    ReceiveEnvelope,
    SendStatus,
    Thespian__Run_Expired,
    Thespian__Run_HandlerResult,
    Thespian__Run_Terminated,
    TransmitOnly,
)

from actors.actor_system.connections import Connections
from actors.actor_system.sockets import Directory, new_name
from actors.host import native, unpickling
from actors.host.frames import MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


#: How often to look whether the socket is still there, in seconds, while awake.
LOOK_S = 1.0

#: Who takes so many turns within so many seconds has hardly waited for anything. A
#: request over HTTP takes a third of a millisecond at least, a job that is synced
#: likewise: these may take all turns.
IN_A_ROW, IN_A_ROW_S = 16, 0.004


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a new process is to listen.

    Attributes:
        name: Its name among the sockets, and its actor's address.
        number: Which child of its parent's it is.
    """

    directory: Directory
    name: str
    admin: str
    number: int = 0

    def another(self, what: str, number: int = 0) -> Endpoint:
        """One for another process of the same system."""
        return Endpoint(self.directory, new_name(what), self.admin, number)


_open: weakref.WeakSet[Transport] = weakref.WeakSet()


def _forked() -> None:
    # A fork would keep its parent's sockets open, and nobody would learn that the
    # parent is gone.
    for each in tuple(_open):
        each.hang_up()


os.register_at_fork(after_in_child=_forked)


class Transport:
    """One process's end of the actor system.

    Attributes:
        too_long: Messages that were too long to be sent, with their sizes.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.myAddress = ActorAddress(endpoint.name)
        self.too_long: list[tuple[Any, int]] = []
        self._inbox: deque[ReceiveEnvelope] = deque()
        self._timers: list[tuple[float, int, timedelta, Any]] = []
        self._order = itertools.count()
        self._watched: list[int] = []
        self._changes = 0
        self._aborting = False
        self._handler: Any = None
        self._result: Any = True
        self._turn = native.allocate_lock()
        self._is_wanted = False
        self._turns = 0
        self._turns_since = 0.0
        self._context = contextvars.copy_context()
        self._waits_until = math.inf
        self._look_at = 0.0
        self._connections = Connections(
            endpoint.directory, endpoint.name, self._received
        )
        self._poll = self._connections.poll
        self._wake: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.POLLIN)
        _open.add(self)

    def send(self, name: str, message: Any) -> bool:
        """Send a message; returns False if nobody is there to have it.

        Raises:
            Exception: It cannot be pickled.
        """
        if name == self.endpoint.name:
            self._tell(message)
            return True
        content = pickle.dumps(message)
        if len(content) > MAX_MESSAGE:
            # Nothing to send counts as sent; who sent it asks what was not.
            self.too_long.append((message, len(content)))
            return True
        return self._wake is not None and self._connections.send(name, content)

    def hang_up(self) -> None:
        """Let go of all sockets; where it is a fork's, its parent goes on."""
        if self._wake is not None:
            os.close(self._wake)
            self._wake = None
            self._connections.close()

    def _received(self, name: str, content: bytes) -> None:
        message = unpickling.loads(content)
        self._inbox.append(ReceiveEnvelope(ActorAddress(name), message))

    def _tell(self, message: Any) -> None:
        self._inbox.append(ReceiveEnvelope(self.myAddress, message))

    # What Thespian's managers call.

    def run(self, handler: Any, maximumDuration: timedelta | None = None) -> Any:
        """Hand what arrives to ``handler``, until that or a time ends it.

        Where it is None the first message is returned, and where it is TransmitOnly
        what waits to be sent is sent.
        """
        until = math.inf
        if maximumDuration is not None:
            until = time.monotonic() + maximumDuration.total_seconds()
        if handler is TransmitOnly:
            return self._send_all(until)
        if handler is None or self._handler is not None:
            return self._run(handler, until, self._wait)
        with self._turn:
            self._handler, self._result = handler, True
            try:
                return self._run(handler, until, self._wait_in_turn)
            finally:
                self._handler = None

    def _run(self, handler: Any, until: float, wait: Callable[[float], None]) -> Any:
        looked = False
        while not self._aborting:
            if not self._result:
                return Thespian__Run_HandlerResult(self._result)
            if (envelope := self._next()) is not None:
                if handler is None:
                    return envelope
                if not (result := handler(envelope)):
                    return Thespian__Run_HandlerResult(result)
            elif looked and time.monotonic() >= until:
                return Thespian__Run_Expired()
            else:
                wait(min(until, self._timers[0][0]) if self._timers else until)
                looked = True
        self._aborting = False
        return Thespian__Run_Terminated()

    def take_turn(self, fd: int) -> bool:
        """Handle what a watched descriptor stands for, in the thread that calls this.

        To wake the mailbox's thread, and to be woken by it, costs more than what there
        is to do. Whatever thread it is, one at a time has the mailbox.

        Returns:
            Whether it was done: not while the mailbox handles something else, or is
            about to.
        """
        # A lock is not fair: who takes turn after turn would keep the mailbox's own
        # thread from what has arrived.
        if self._handler is None or self._is_wanted or self._hurries():
            return False
        # An exception out of nowhere (a library of the user's raises it in this thread
        # from another) comes between two steps of Python's: in one of C, the turn is
        # taken and this is noted.
        taken: list[bool] = []
        try:
            taken.extend(map(self._turn.acquire, (False,)))
            return taken[0] and self._handle_now(fd)
        finally:
            if True in taken:
                self._turn.release()

    def _handle_now(self, fd: int) -> bool:
        self._turns += 1
        if self._handler is None or self._inbox or self._aborting:
            return False
        changes = self._connections.changes + self._changes
        self._result = self._handled(fd) and self._result
        if (
            not self._result
            or self._inbox
            or self._connections.changes + self._changes != changes
            or (self._timers and self._timers[0][0] < self._waits_until)
        ):
            self.interrupt_wait()
        return True

    def _handled(self, fd: int) -> Any:
        envelope = ReceiveEnvelope(self.myAddress, WatchMessage([fd]))
        # What the caller has bound to its context is none of the mailbox's, nor what
        # traces it, which may raise anything.
        if (trace := sys.gettrace()) is not None:
            sys.settrace(None)
        try:
            return self._context.run(self._handler, envelope)
        except BaseException:
            # Whatever it kept from being done, the mailbox's own thread looks again.
            self._tell(envelope.message)
            self.interrupt_wait()
            raise
        finally:
            if trace is not None:
                sys.settrace(trace)

    def _hurries(self) -> bool:
        # The interpreter's lock is not fair either. A thread that lets go of it often,
        # and never waits, has it again before another one is awake: that one may come
        # to nothing for 100 ms.
        now = time.monotonic()
        if self._turns == 0:
            self._turns_since = now
        elif self._turns >= IN_A_ROW:
            if now < self._turns_since + IN_A_ROW_S:
                return True
            self._turns, self._turns_since = 0, now
        return False

    def _wait_in_turn(self, until: float) -> None:
        # Others may have the mailbox as long as its own thread waits.
        self._waits_until = until
        self._context = contextvars.copy_context()
        self._turn.release()
        try:
            events = self._poll_until(until)
        finally:
            self._is_wanted = True
            self._turn.acquire()
            self._is_wanted = False
            self._turns = 0
        self._note(events)

    def _send_all(self, until: float) -> bool:
        self.set_watch([])
        while self._connections.waiting:
            self._wait(until)
            if time.monotonic() >= until:
                break
        return self._connections.waiting

    def _next(self) -> ReceiveEnvelope | None:
        if self._timers and self._timers[0][0] <= time.monotonic():
            _, _, after, payload = heapq.heappop(self._timers)
            return ReceiveEnvelope(self.myAddress, WakeupMessage(after, payload))
        return self._inbox.popleft() if self._inbox else None

    def _wait(self, until: float) -> None:
        self._note(self._poll_until(until))

    def _poll_until(self, until: float) -> list[tuple[int, int]]:
        delay_ms = None
        if until < math.inf:
            delay_ms = max(0.0, (until - time.monotonic()) * 1000)
        return self._poll.poll(delay_ms)

    def _note(self, events: list[tuple[int, int]]) -> None:
        ready = []
        if (now := time.monotonic()) >= self._look_at:
            self._look_at = now + LOOK_S
            self._connections.look()
        for fd, event in events:
            if self._connections.ready(fd, event):
                continue
            if fd == self._wake:
                os.eventfd_read(fd)
            elif event & select.POLLNVAL:
                self._unwatch(fd)
            else:
                ready.append(fd)
        if ready:
            self._tell(WatchMessage(ready))

    def scheduleTransmit(self, addressManager: Any, intent: Any) -> None:
        """Send what an intent says, and tell it how that went.

        Raises:
            CannotPickleAddress: The receiver has not said yet where it listens.
        """
        target = intent.targetAddr
        if addressManager is not None:
            target = addressManager.exportAddr(target)
            if target is None:
                raise CannotPickleAddress(intent.targetAddr)
            intent.changeTargetAddr(target)
        sent = self.send(target.addressDetails, intent.message)
        intent.tx_done(SendStatus.Sent if sent else SendStatus.DeadTarget)

    def addWakeup(self, timePeriod: timedelta, payload: Any) -> None:
        """Set a timer."""
        at = time.monotonic() + timePeriod.total_seconds()
        heapq.heappush(self._timers, (at, next(self._order), timePeriod, payload))

    def set_watch(self, watchlist: list[int]) -> None:
        """Say which descriptors to wait for, beside messages."""
        if watchlist == self._watched:
            return
        self._changes += 1
        for fd in set(self._watched).difference(watchlist):
            self._unwatch(fd)
        for fd in set(watchlist).difference(self._watched):
            if fd not in self._connections:
                self._poll.register(fd, select.POLLIN)
        self._watched = list(watchlist)

    def _unwatch(self, fd: int) -> None:
        # One that was closed may have become a connection's meanwhile.
        self._watched = [each for each in self._watched if each != fd]
        if fd not in self._connections:
            # It is not there if it was a connection's, which has ended as well.
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)

    def interrupt_wait(
        self, signal_shutdown: bool = False, check_children: bool = False
    ) -> None:
        """Have the loop do what a signal is about."""
        if check_children:
            self._tell(ChildMayHaveDied())
        if signal_shutdown:
            self._tell(ActorExitRequest())
        if self._wake is not None:
            os.eventfd_write(self._wake, 1)

    def abort_run(self, drain: bool = False) -> None:  # noqa: ARG002 - Thespian drains
        """Have ``run`` return."""
        self._aborting = True

    def deadAddress(self, addressManager: Any, childAddr: ActorAddress) -> None:
        """Give up what is on its way to a child that has ended."""
        if (address := addressManager.exportAddr(childAddr)) is not None:
            self._connections.drop(address.addressDetails)

    def external_transport_clone(self) -> _Borrowed:
        """The same again: there is one thread that would use either."""
        return _Borrowed(self)

    def close(self) -> None:
        """Listen no longer."""
        self.hang_up()
        self.endpoint.directory.forget(self.endpoint.name)

    def getAdminAddr(self, capabilities: Any) -> ActorAddress:  # noqa: ARG002
        """Where the system's admin listens."""
        return ActorAddress(self.endpoint.admin)

    def probeAdmin(self, addr: ActorAddress) -> bool:  # noqa: ARG002
        """Whether the admin is there already: nobody else knows its name."""
        return False

    def setAddressManager(self, addrManager: Any) -> None:
        """Know who resolves addresses; intents bring theirs with them."""

    def _updateStatusResponse(self, resp: Any) -> None:
        """Tell nothing: nobody asks for Thespian's status."""


class _Borrowed:
    """A transport that stays open when whoever has it closes it."""

    def __init__(self, lender: Transport) -> None:
        self._lender = lender

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lender, name)

    def close(self) -> None:
        """Give it back."""

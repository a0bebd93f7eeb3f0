"""Lines between machines: TCP connections that never block.

What is not taken at once by the kernel waits here, and is offered again when
``flush`` is called; in which order, and what of it is not sent twice, ``lanes`` has.
Messages are JSON (``codec``), and signed.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.cluster import codec
from actors.cluster.handshake import Handshake
from actors.cluster.lanes import Incoming, Outgoing, receipt
from actors.host import tcp

if TYPE_CHECKING:
    from actors.cluster.keys import Key
    from actors.demand.messages import SubscriptionId
    from actors.host.tcp import Connection, Listener

#: How soon to offer again what the kernel did not take, in seconds.
FLUSH_S = 0.02
_CHUNK = 1 << 16
#: How much is read of a line that ends: nobody keeps it open by sending on.
_LAST_CHUNKS = 64


class LineEndedError(Exception):
    """The line is over; the text says why."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection, seen from one end."""

    _socket: Connection
    _handshake: Handshake
    about: str
    _waiting: bytearray = field(default_factory=bytearray)
    _outgoing: Outgoing = field(default_factory=lambda: Outgoing(codec.dumps))
    _incoming: Incoming = field(init=False)
    _receipted: int = 0

    def __post_init__(self) -> None:
        """Join what is sent with what says that it has arrived."""
        self._incoming = Incoming(self._outgoing)

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._socket.fileno()

    @property
    def is_open(self) -> bool:
        """Whether the other side has shown that it has the key."""
        return self._handshake.is_open

    @property
    def machine(self) -> str:
        """Whose key it is that the other side has shown; empty for the cluster's."""
        return self._handshake.machine

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that ``flush`` would send."""
        if self._waiting or self._handshake.outgoing:
            return True
        untold = self._receipted < self._incoming.arrived
        return self.is_open and (untold or self._outgoing.is_waiting)

    def bear(self, limit_s: float) -> None:
        """Let the kernel end it after so long without an answer, and no sooner."""
        with contextlib.suppress(OSError):
            tcp.give_up_after(self._socket, limit_s)

    def is_crossing(self, subscription: SubscriptionId) -> bool:
        """Whether jobs of a subscription are in the line, and have not arrived."""
        return self._outgoing.is_crossing(subscription)

    def send(self, message: Any) -> bool:
        """Send a message, when the line is open.

        Returns:
            Whether there was room for it; if not, it is lost.

        Raises:
            LineEndedError: It is over, or the message cannot be sent.
        """
        try:
            taken = self._outgoing.put(message)
        except ValueError as error:
            raise LineEndedError(str(error)) from error
        self._write()
        return taken

    def send_what_is_left_of(self, former: Line) -> None:
        """Send first what another line did not deliver before it ended.

        Raises:
            LineEndedError: This one is over as well.
        """
        self._outgoing.put_back(former._outgoing)
        self._write()

    def receive(self) -> list[Any]:
        """What has arrived.

        Raises:
            LineEndedError: The other side hung up.
            FrameError: What arrived is not to be trusted.
        """
        try:
            received = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise LineEndedError(str(error)) from error
        if not received:
            raise LineEndedError("the other side hung up")
        frames = self._handshake.feed(received)
        payloads = [self._incoming.take(each) for each in frames]
        messages = [codec.loads(each) for each in payloads if each is not None]
        try:
            self._write()
        except LineEndedError:
            # What arrived before the end may say why; the next look finds the end.
            if not messages:
                raise
        return messages

    def flush(self) -> None:
        """Offer the kernel what waits, and tell the other side what has arrived.

        Raises:
            LineEndedError: The line is over.
        """
        self._write()
        # Only what nothing else has told: most messages are answered at once.
        if (
            self.is_open
            and self._receipted < self._incoming.arrived
            and not self._waiting
        ):
            self._receipted = self._incoming.arrived
            self._waiting += self._handshake.seal(receipt(self._receipted))
            self._write()

    def _write(self) -> None:
        self._waiting += self._handshake.outgoing
        self._handshake.outgoing = b""
        try:
            while self._fill():
                del self._waiting[: self._socket.send(self._waiting)]
        except BlockingIOError:
            return
        except OSError as error:
            raise LineEndedError(str(error)) from error

    def _fill(self) -> bool:
        while self.is_open and len(self._waiting) < tcp.AHEAD:
            frame = self._outgoing.next_frame(self._incoming.arrived)
            if frame is None:
                break
            self._receipted = self._incoming.arrived
            self._waiting += self._handshake.seal(frame)
        return bool(self._waiting)

    def close(self) -> None:
        """Hang up; what was sent last still arrives.

        Where something is unread, the kernel resets the connection instead, and the
        other side never reads why it ended.
        """
        with contextlib.suppress(OSError):
            for _ in range(_LAST_CHUNKS):
                if not self._socket.recv(_CHUNK):
                    break
        self._socket.close()


class GateListener:
    """One address where other machines dial in."""

    def __init__(self, listener: Listener, key: Key, limit_s: float) -> None:
        self._key = key
        self._limit_s = limit_s
        self._listener = listener

    @property
    def fd(self) -> int:
        """The descriptor to watch."""
        return self._listener.fileno()

    def accept(self) -> Line | None:
        """Take a call, if there is one."""
        with contextlib.suppress(OSError):
            connection, address = self._listener.accept()
            handshake = Handshake(self._key, secrets.token_bytes(32), dials=False)
            line = Line(connection, handshake, str(address))
            line.bear(self._limit_s)
            return line
        return None


def call(connection: Connection, key: Key, about: str, limit_s: float) -> Line:
    """The end of a line that calls; it opens later, or ends."""
    handshake = Handshake(key, secrets.token_bytes(32), dials=True)
    line = Line(connection, handshake, about)
    line.bear(limit_s)
    return line

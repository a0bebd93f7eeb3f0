"""Thespian's TCP transport, closed to strangers.

As it comes, every actor unpickles whatever reaches its port. Here each process
seals what it sends and opens what it receives (see ``frames``), with a key that
was made for this system and that its processes have by being forked.

The key is never written down, and no other machine has it: between machines
there is a line of another kind (see ``lines``).
"""

from __future__ import annotations

import functools
import os
import pickle
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from thespian import actors
from thespian.system import logdirector
from thespian.system.messages import admin, multiproc

from actors.runtime import logs, unpickling
from actors.runtime.frames import (
    MAX_FRAME,
    MAX_MESSAGE,
    FrameBuffer,
    FrameError,
    Kind,
    Opener,
    Quiet,
    Refusal,
    Sealer,
    with_length,
)
from actors.runtime.thespian_tcp import IPBase, TCPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What Thespian's own processes say to one another in a system of one machine.
THESPIANS: tuple[type, ...] = (
    actors.ActorAddress,
    actors.ActorExitRequest,
    actors.ChildActorExited,
    actors.DeadEnvelope,
    actors.PoisonMessage,
    IPBase.TCPv4ActorAddress,
    socket.AddressFamily,
    socket.SocketKind,
    admin.QueryExists,
    admin.QueryAck,
    admin.PendingActor,
    admin.PendingActorResponse,
    admin.HandleDeadLetters,
    admin.NewCapabilities,
    admin.SystemShutdown,
    admin.SystemShutdownCompleted,
    multiproc.EndpointConnected,
    multiproc.LoggerConnected,
    logdirector.LoggerExitRequest,
    logdirector.LogAggregator,
    logdirector.logging.LogRecord,
)

#: Where all of a machine's processes listen.
LOOPBACK = "127.0.0.1"

_REPEATED = object()


@dataclass(slots=True)
class _Channel:
    """This process's end of every connection."""

    sealer: Sealer
    opener: Opener
    quiet: Quiet = field(default_factory=Quiet)
    _addresses: dict[int, Any] = field(default_factory=dict)

    def open(self, frame: bytes) -> Any:
        try:
            kind, port, payload = self.opener.open(frame)
        except FrameError as error:
            if error.refusal is not Refusal.REPEATED:
                raise
            self.refused(error)
            return _REPEATED
        match kind:
            case Kind.MESSAGE:
                return self._address(port), unpickling.loads(payload)
            case Kind.ACKNOWLEDGED:
                return TCPTransport.ackPacket
            case Kind.REJECTED:
                return TCPTransport.ackDataErrPacket

    def _address(self, port: int) -> Any:
        # The sender's, who is on loopback like everybody: the port is all of it,
        # and a pickled address takes longer than the rest of most messages.
        address = self._addresses.get(port)
        if address is None:
            details = IPBase.TCPv4ActorAddress(LOOPBACK, port, external=True)
            address = self._addresses[port] = actors.ActorAddress(details)
        return address

    def refused(self, error: FrameError) -> None:
        count = self.quiet.note(error.refusal, time.monotonic())
        if count is not None:
            ports = sorted(self.opener.ports)
            about = {"about": error.about} if error.about else {}
            logs.current().warning(
                "frame.refused",
                reason=error.refusal.value,
                ports=ports,
                count=count,
                **about,
            )


_key = b""
_channels: dict[int, _Channel] = {}
_too_long: list[tuple[Any, int]] = []


def take_too_long() -> list[tuple[Any, int]]:
    """Messages of this process that were too long to be sent, with their sizes."""
    if not _too_long:
        return []
    taken = _too_long.copy()
    _too_long.clear()
    return taken


def close(admitted: Iterable[Callable[..., Any]]) -> None:
    """Close the transport of this process and of those forked from it.

    Args:
        admitted: Classes that messages are made of, beside Thespian's own.
    """
    global _key  # noqa: PLW0603
    _key = secrets.token_bytes(32)
    unpickling.admit(THESPIANS)
    unpickling.admit(admitted)
    _note_ports()
    _seal()
    TCPTransport.TCPTransport._addedDataToIncoming = _added  # noqa: SLF001


def _note_ports() -> None:
    begin = TCPTransport.TCPTransport.__init__

    @functools.wraps(begin)
    def init(self: Any, *args: Any) -> None:
        since = time.monotonic_ns()
        begin(self, *args)
        _channel().opener.ports[port_of(self.myAddress)] = since

    TCPTransport.TCPTransport.__init__ = init


def port_of(address: Any) -> int:
    """Where an actor listens."""
    port: int = address.addressDetails.sockname[1]
    return port


def _channel() -> _Channel:
    # What a forked process has inherited is its parent's, stamps and all.
    pid = os.getpid()
    if (channel := _channels.get(pid)) is None:
        _channels.clear()
        sealer = Sealer(_key, secrets.token_bytes(8), time.monotonic_ns)
        channel = _Channel(sealer, Opener(_key, time.monotonic_ns))
        _channels[pid] = channel
    return channel


def _seal() -> None:
    def serialize(self: Any, intent: Any) -> bytes:
        payload = pickle.dumps(intent.message)
        if len(payload) > MAX_MESSAGE:
            # Nothing to send counts as sent; who sent it asks what was not.
            _too_long.append((intent.message, len(payload)))
            return b""
        ports = port_of(self.myAddress), port_of(intent.targetAddr)
        return with_length(_channel().sealer.seal(Kind.MESSAGE, ports, payload))

    TCPTransport.TCPTransport.serializer = serialize
    TCPTransport.serializer = _Bare
    TCPTransport.ReceiveBuffer = lambda _: FrameBuffer(_open)
    sealer = Sealer(_key, bytes(8), lambda: 0)
    TCPTransport.ackMsg = with_length(sealer.seal(Kind.ACKNOWLEDGED, (0, 0), b""))
    TCPTransport.ackDataErrMsg = with_length(sealer.seal(Kind.REJECTED, (0, 0), b""))


def _open(frame: bytes) -> Any:
    return _channel().open(frame)


class _Bare:
    """Stands where Thespian has ``pickle``, and is not to be used."""

    @staticmethod
    def loads(_: bytes) -> NoReturn:
        raise FrameError(Refusal.FORGED)

    @staticmethod
    def dumps(_: Any) -> NoReturn:
        raise FrameError(Refusal.FORGED)


def _added(
    self: Any,
    inc: Any,
    skipFinish: bool = False,  # noqa: FBT001, FBT002, N803 - Thespian's
    has_exclusive_flag: bool = False,  # noqa: FBT001, FBT002 - Thespian's
) -> Any:
    buffer = inc._rData  # noqa: SLF001
    opened = buffer.completed()
    if buffer.refused is not None:
        _channel().refused(buffer.refused)
        _answer(inc, TCPTransport.ackDataErrMsg, buffer.refused)
        inc.close()
        return None
    if opened is not None and opened[0] is _REPEATED:
        # Its sender has not seen that it arrived: it is told again. The
        # connection is not kept: it may be somebody else's.
        _answer(inc, TCPTransport.ackMsg, None)
        if not skipFinish:
            inc.close()
        return None
    return _take(self, inc, skipFinish, has_exclusive_flag)


_take = TCPTransport.TCPTransport._addedDataToIncoming  # noqa: SLF001


def _answer(inc: Any, answer: bytes, refused: FrameError | None) -> None:
    # Only one of ours is told: it need not try again. Others get no word.
    if refused is None or refused.refusal is Refusal.FORBIDDEN:
        try:
            inc.socket.send(answer)
        except OSError:
            return


def problem() -> str | None:
    """What shows that the transport is not closed; None where it is.

    It is asked of the transport as it stands, not of what was changed in it.
    """
    incoming = TCPTransport.TCPIncoming_Common(None, None)
    buffer = incoming._rData  # noqa: SLF001
    incoming.addData(TCPTransport.toSendBuffer("x" * MAX_FRAME))
    if not isinstance(buffer, FrameBuffer) or buffer.refused is None:
        return "what arrives does not go through our frames"
    if TCPTransport.TCPTransport._addedDataToIncoming is not _added:  # noqa: SLF001
        return "what is refused is not dropped"
    return None

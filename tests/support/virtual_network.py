"""A network between machines on virtual time: names, addresses, and slow lines.

It does what TCP over such a network does, as far as it can be seen from a socket:
bytes come in order, as fast as the line carries them, after its delay, or not at
all while it is cut; who is gone without a word is only noticed by the silence.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.host.tcp import AHEAD, Endpoint

if TYPE_CHECKING:
    from actors.testing.agenda import Agenda
    from actors.testing.base import Node

#: Bytes that cross together.
SEGMENT = 1448
#: What was lost is sent again so long after the line is back, in seconds.
RETRY_S = 1.0
#: A call that nobody answers is repeated after so long, in seconds.
REDIAL_S = 1.0


@dataclass(slots=True)
class Link:
    """The line that all machines share.

    Attributes:
        delay_s: One way.
        bytes_s: Each way, of each connection.
        is_cut: Nothing crosses.
    """

    delay_s: float = 0.001
    bytes_s: float = 10e6
    is_cut: bool = False


class Network:
    """Where machines have names and addresses, and a line between them.

    Attributes:
        names: The addresses of each name, as a resolver has them now; None where
            there is no name service.
        carried: The bytes that each machine has sent, by its address.
    """

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.link = Link()
        self.names: dict[str, list[str]] | None = {}
        self.addresses: dict[str, str] = {}
        self._listeners: dict[tuple[str, int], VirtualListener] = {}
        self._sockets: list[VirtualSocket] = []
        self.carried: Counter[str] = Counter()

    def endpoints(self, host: str, port: int) -> list[Endpoint]:
        """What a resolver says.

        Raises:
            OSError: It knows no such name, or there is none.
        """
        if self.names is None:
            raise socket.gaierror(socket.EAI_AGAIN, "no name service")
        found = self.names.get(host, [host] if _is_address(host) else [])
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "name or service not known")
        return [Endpoint(2, (each, port)) for each in found]

    def listen(self, node: Node, host: str, port: int) -> VirtualListener:
        """Let others connect to a process."""
        listener = VirtualListener(node, self, (host, port))
        self._listeners[host, port] = listener
        node.endings.append(lambda: self.forget(listener))
        return listener

    def forget(self, listener: VirtualListener) -> None:
        """Listen no longer."""
        if self._listeners.get(listener.place) is listener:
            del self._listeners[listener.place]

    def connect(self, node: Node, endpoint: Endpoint, home: str) -> VirtualSocket:
        """Begin to connect, from the address ``home``."""
        mine = VirtualSocket(node, self, home)
        self._sockets.append(mine)
        self._call(mine, (endpoint.address[0], endpoint.address[1]))
        return mine

    def cut(self) -> None:
        """Let nothing through from now on."""
        self.link.is_cut = True

    def heal(self) -> None:
        """Let all through again; what was on its way follows soon."""
        if not self.link.is_cut:
            return
        self.link.is_cut = False
        for each in self._open():
            self.agenda.after(RETRY_S, each.pump)

    def _open(self) -> list[VirtualSocket]:
        self._sockets = [each for each in self._sockets if not each.is_over]
        return list(self._sockets)

    def _call(self, mine: VirtualSocket, place: tuple[str, int]) -> None:
        def arrive() -> None:
            if mine.is_closed:
                return
            if self.link.is_cut or not self._is_there(place[0]):
                self.agenda.after(REDIAL_S, lambda: self._call(mine, place))
                return
            listener = self._listeners.get(place)
            if listener is None:
                self.agenda.after(self.link.delay_s, lambda: mine.fail(_REFUSED))
                return
            theirs = VirtualSocket(listener.node, self, f"{place[0]} to {mine.home}")
            self._sockets.append(theirs)
            mine.peer, theirs.peer = theirs, mine
            theirs.is_connected = True
            self.agenda.after(self.link.delay_s, mine.connected)
            # Who is called learns of it when its answer has been answered.
            self.agenda.after(2 * self.link.delay_s, lambda: listener.put(theirs))

        self.agenda.after(self.link.delay_s, arrive)

    def _is_there(self, host: str) -> bool:
        return host in self.addresses.values()


class VirtualSocket:
    """One end of a connection."""

    def __init__(self, node: Node, network: Network, home: str) -> None:
        self.node = node
        self.home = home
        self.network = network
        self.peer: VirtualSocket | None = None
        self.is_connected = self.is_closed = False
        self._fd = node.base.new_fd()
        self._inbox = bytearray()
        self._error: OSError | None = None
        self._at_end = False
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_pumping = False
        self._limit_s = 900.0
        self._unanswered_since: float | None = None
        node.endings.append(self.close)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.is_closed and not self._waiting

    def fileno(self) -> int:
        """The descriptor to watch; below 0 once it is closed."""
        return -1 if self.is_closed else self._fd

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Note how long it bears to get no answer."""
        if option == socket.TCP_USER_TIMEOUT:
            self._limit_s = value / 1000

    def send(self, data: bytes | bytearray) -> int:
        """Take as much as the kernel would.

        Raises:
            BlockingIOError: That is nothing.
            OSError: The connection is over.
        """
        if self._error is not None:
            raise self._error
        room = AHEAD + SEGMENT - self._size
        if not self.is_connected or room <= 0:
            raise BlockingIOError
        taken = bytes(data[:room])
        for at in range(0, len(taken), SEGMENT):
            self._waiting.append(taken[at : at + SEGMENT])
        self._size += len(taken)
        self.pump()
        return len(taken)

    def recv(self, size: int) -> bytes:
        """What has arrived; nothing where the other side hung up.

        Raises:
            BlockingIOError: Nothing has.
            OSError: The connection is over.
        """
        if not self._inbox and self._error is not None:
            raise self._error
        if not self._inbox and not self._at_end:
            raise BlockingIOError
        taken = bytes(self._inbox[:size])
        del self._inbox[: len(taken)]
        if not (self._inbox or self._at_end or self._error):
            self.node.ready.discard(self._fd)
        return taken

    def close(self) -> None:
        """Hang up: what was sent arrives before that."""
        if self.is_closed:
            return
        self.is_closed = True
        self.node.ready.discard(self._fd)
        with contextlib.suppress(ValueError):
            self.node.endings.remove(self.close)
        self._waiting.append(b"")
        self.pump()

    def connected(self) -> None:
        """The other side has answered."""
        self.is_connected = True

    def fail(self, error: OSError) -> None:
        """The connection is over."""
        if not self.is_closed:
            self._error = error
            self._waiting.clear()
            self.node.signal(self._fd)

    def pump(self) -> None:
        """Let the next piece cross, if none does."""
        if self._is_pumping or not self._waiting or self.peer is None:
            return
        link = self.network.link
        if link.is_cut:
            self._wait_for_answer()
            return
        self._is_pumping = True
        took_s = max(1, len(self._waiting[0])) / link.bytes_s
        self.network.agenda.after(took_s, self._crossed)

    def _crossed(self) -> None:
        self._is_pumping = False
        if not self._waiting or self.peer is None:
            return
        if self.network.link.is_cut:
            self._wait_for_answer()
            return
        self._unanswered_since = None
        piece, peer = self._waiting.popleft(), self.peer
        self._size -= len(piece)
        self.network.carried[self.home] += len(piece)
        self.network.agenda.after(self.network.link.delay_s, lambda: peer.arrive(piece))
        self.pump()

    def arrive(self, piece: bytes) -> None:
        """Take what has crossed; nothing is the end."""
        if self.is_closed:
            return
        self._inbox += piece
        self._at_end = self._at_end or not piece
        self.node.signal(self._fd)

    def _wait_for_answer(self) -> None:
        if self._unanswered_since is not None or self.is_closed:
            return
        since = self._unanswered_since = self.network.agenda.now

        def give_up() -> None:
            if self._unanswered_since == since:
                self.fail(_TIMED_OUT)

        self.network.agenda.after(self._limit_s, give_up)


class VirtualListener:
    """Where a process is called."""

    def __init__(self, node: Node, network: Network, place: tuple[str, int]) -> None:
        self.node = node
        self.network = network
        self.place = place
        self._fd = node.base.new_fd()
        self._callers: deque[VirtualSocket] = deque()

    def fileno(self) -> int:
        """The descriptor to watch."""
        return self._fd

    def put(self, caller: VirtualSocket) -> None:
        """Somebody calls."""
        self._callers.append(caller)
        self.node.signal(self._fd)

    def accept(self) -> tuple[VirtualSocket, Any]:
        """The next who called.

        Raises:
            BlockingIOError: Nobody has.
        """
        if not self._callers:
            self.node.ready.discard(self._fd)
            raise BlockingIOError
        caller = self._callers.popleft()
        if not self._callers:
            self.node.ready.discard(self._fd)
        return caller, Endpoint(2, ("caller", caller.fileno()))


_REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
_TIMED_OUT = TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()

"""One process's connections with the others: one for each that it talks with.

Whoever speaks first connects, and says its name; then messages go both ways, and
the connection is kept. Nothing is acknowledged: the kernel says whether a message
was taken, an end of file says that the other process is gone, and the demand
protocol repeats what was not handled. Nothing blocks: what the kernel does not take
waits for that one process, up to a limit, and holds up no other.

Before the name is known, nothing is kept of what arrives but the name. Names are
never given twice, so what waits for a process that dies is given up with it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import select
import time
from collections import deque
from socket import MSG_NOSIGNAL
from typing import TYPE_CHECKING

from actors.actor_system.sockets import MAX_NAME, Directory, is_ours
from actors.actor_system.stream import Cutter, framed
from actors.host import linux, logs, native
from actors.host.frames import FrameError, Quiet, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

#: Bytes that may wait for one process that does not read; what comes then is
#: dropped, as if it had got lost.
MAX_WAITING = 16 << 20
#: Connections that may be open and have not said whose they are.
MAX_SILENT = 64
#: Read at once, in bytes.
_AT_ONCE = 1 << 17
#: Messages that are handed to the kernel together; and connections taken.
_TOGETHER = 64
_GREETING = b"lowtide\1"
_GREETING_SIZE = len(_GREETING) + MAX_NAME
_NAME = re.compile(rb"[A-Za-z0-9_.-]+")
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Connection:
    __slots__ = ("blocked", "cutter", "greeting", "name", "out", "socket", "waiting")

    def __init__(self, connection: socket, name: str = "") -> None:
        self.socket = connection
        self.name = name
        self.greeting = b""
        self.cutter = Cutter()
        self.out: deque[bytes | memoryview] = deque()
        self.waiting = 0
        self.blocked = False


class Connections:
    """All connections of this process, the place where it listens included.

    Attributes:
        poll: What tells which descriptors are ready; others may be added.
        changes: How often it was changed what that waits for.
    """

    def __init__(
        self, directory: Directory, name: str, deliver: Callable[[str, bytes], None]
    ) -> None:
        self.poll = native.poll()
        self.changes = 0
        self._directory = directory
        self._name = name
        self._deliver = deliver
        self._listener = directory.listen(name)
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._by_fd: dict[int, _Connection] = {}
        self._by_name: dict[str, _Connection] = {}
        self._silent: dict[int, _Connection] = {}
        self._buffer = memoryview(bytearray(_AT_ONCE))
        self._quiet = Quiet()
        self.poll.register(self._listener.fileno(), select.POLLIN)

    def __contains__(self, fd: int) -> bool:
        return fd in self._by_fd

    @property
    def waiting(self) -> bool:
        """Whether something waits for the kernel to take it."""
        return any(each.out for each in self._by_fd.values())

    def send(self, name: str, content: bytes) -> bool:
        """Send a message, or give it up; returns whether its receiver is there."""
        try:
            peer = self._by_name.get(name) or self._dial(name)
        except BlockingIOError:
            # It lives, and has not accepted those before: the message gets lost.
            self._tell("message.dropped", Refusal.FULL, receiver=name)
            return True
        if peer is None:
            return False
        frame: bytes | memoryview = framed(content)
        if not peer.out:
            # As it mostly is: in one write, and done with.
            try:
                sent = peer.socket.send(frame, MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lose(peer)
                return False
            if sent == len(frame):
                return True
            frame = memoryview(frame)[sent:]
            self._block(peer)
        if peer.waiting > MAX_WAITING:
            self._tell("message.dropped", Refusal.FULL, receiver=name)
            return True
        peer.out.append(frame)
        peer.waiting += len(frame)
        return peer.blocked or self._flush(peer)

    def ready(self, fd: int, event: int) -> bool:
        """Do what a descriptor is ready for; returns False if it is none of these."""
        connection = self._by_fd.get(fd)
        if connection is not None:
            if event != select.POLLOUT:
                self._read(connection)
            if event & select.POLLOUT and fd in self._by_fd:
                connection.blocked = False
                self.poll.modify(fd, select.POLLIN)
                self.changes += 1
                self._flush(connection)
        elif fd == self._listener.fileno():
            self._accept()
        else:
            return False
        return True

    def look(self) -> None:
        """Listen anew where the socket was removed, as cleaners of old files do."""
        if self._directory.has(self._name):
            return
        with contextlib.suppress(OSError):
            self._directory.renew()
            listener = self._directory.listen(self._name)
            self.poll.unregister(self._listener)
            self._listener.close()
            self._listener = listener
            self.poll.register(listener, select.POLLIN)
            self.changes += 1

    def drop(self, name: str) -> None:
        """Give up what is on its way to a process that has died."""
        for each in [each for each in self._by_fd.values() if each.name == name]:
            self._lose(each)
        self._directory.forget(name)

    def close(self) -> None:
        """Hang up, and listen no longer; where it is a fork's, its parent goes on."""
        self._listener.close()
        if self._spare >= 0:
            os.close(self._spare)
        for each in self._by_fd.values():
            each.socket.close()
        self._by_fd.clear()
        self._by_name.clear()
        self._silent.clear()

    # Sending.

    def _dial(self, name: str) -> _Connection | None:
        try:
            connection = self._directory.dial(name)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in _NO_ROOM and (self._make_room() or _has_more()):
                return self._dial(name)
            return None
        peer = self._by_name[name] = _Connection(connection, name)
        self._by_fd[connection.fileno()] = peer
        self.poll.register(connection, select.POLLIN)
        self.changes += 1
        greeting = _GREETING + self._name.encode().ljust(MAX_NAME, b"\0")
        peer.out.append(greeting)
        peer.waiting = len(greeting)
        return peer

    def _flush(self, peer: _Connection) -> bool:
        out = peer.out
        try:
            while out:
                content = tuple(itertools.islice(out, _TOGETHER))
                sent = peer.socket.sendmsg(content, (), MSG_NOSIGNAL)
                peer.waiting -= sent
                while sent:
                    head = out.popleft()
                    if sent < len(head):
                        out.appendleft(memoryview(head)[sent:])
                    sent -= min(sent, len(head))
        except BlockingIOError:
            self._block(peer)
        except OSError:
            self._lose(peer)
            return False
        return True

    def _block(self, peer: _Connection) -> None:
        peer.blocked = True
        self.poll.modify(peer.socket, select.POLLIN | select.POLLOUT)
        self.changes += 1

    # Receiving.

    def _accept(self) -> None:
        for _ in range(_TOGETHER):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM and not self._make_room():
                    self._turn_away()
                continue
            if not is_ours(connection):
                connection.close()
                self._tell("frame.refused", Refusal.STRANGER)
                continue
            connection.setblocking(False)
            fd = connection.fileno()
            self._by_fd[fd] = self._silent[fd] = _Connection(connection)
            self.poll.register(fd, select.POLLIN)
            self.changes += 1
            while len(self._silent) > MAX_SILENT:
                self._make_room()

    def _make_room(self) -> bool:
        while self._silent:
            fd, oldest = next(iter(self._silent.items()))
            self._read(oldest)  # it may have spoken by now
            if fd in self._silent:
                self._refuse(oldest, FrameError(Refusal.SILENT))
            if fd not in self._by_fd:
                return True
        return False

    def _turn_away(self) -> None:
        # With the one file that is kept for this: else it would wait, and the
        # listener be ready, for as long as there is no room.
        self._tell("frame.refused", Refusal.CROWDED)
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        # A thread of the user's may have taken the place: then without, until later.
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _read(self, connection: _Connection) -> None:
        try:
            size = connection.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lose(connection)
            return
        received = self._buffer[:size]
        try:
            if not connection.name:
                received = self._greeted(connection, received)
            for content in connection.cutter.take(received):
                self._take(connection.name, content)
        except FrameError as error:
            self._refuse(connection, error)

    def _take(self, name: str, content: bytes) -> None:
        try:
            self._deliver(name, content)
        except FrameError as error:
            self._tell("frame.refused", error.refusal, about=error.about)

    def _greeted(self, connection: _Connection, received: memoryview) -> memoryview:
        missing = _GREETING_SIZE - len(connection.greeting)
        greeting = connection.greeting = connection.greeting + received[:missing]
        name = greeting[len(_GREETING) :].rstrip(b"\0")
        whole = len(greeting) == _GREETING_SIZE
        if not _GREETING.startswith(greeting[: len(_GREETING)]) or (
            whole and _NAME.fullmatch(name) is None
        ):
            raise FrameError(Refusal.GARBLED)
        if whole:
            connection.name = name.decode()
            self._by_name.setdefault(connection.name, connection)
            del self._silent[connection.socket.fileno()]
        return received[missing:]

    def _refuse(self, connection: _Connection, error: FrameError) -> None:
        self._tell("frame.refused", error.refusal, about=error.about)
        self._lose(connection)

    def _lose(self, connection: _Connection) -> None:
        fd = connection.socket.fileno()
        self.poll.unregister(fd)
        self.changes += 1
        del self._by_fd[fd]
        self._silent.pop(fd, None)
        if self._by_name.get(connection.name) is connection:
            del self._by_name[connection.name]
        connection.socket.close()
        connection.out.clear()

    def _tell(self, event: str, refusal: Refusal, **about: str) -> None:
        count = self._quiet.note(refusal, time.monotonic())
        if count is not None:
            fields = {"reason": refusal.value, "socket": self._name, "count": count}
            told = {key: text for key, text in about.items() if text}
            logs.current().warning(event, **fields, **told)


def _has_more() -> bool:
    # The user's code may have lowered how many files may be open. What it opens has
    # its way; a message that has to leave goes before that.
    with contextlib.suppress(OSError, ValueError):
        return linux.allow_all_descriptors()
    return False

"""A way that takes long: what is said to a port arrives elsewhere after a while."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable


class Relay:
    """Passes connections on, each byte after ``delay_s``, to where ``target`` says.

    It can be cut, which both sides are told, or hold back what they say, which
    neither is; until it is whole again.
    """

    def __init__(self, target: Callable[[], tuple[str, int]], delay_s: float) -> None:
        self._target = target
        self._delay_s = delay_s
        self._listener = socket.create_server(("0.0.0.0", 0))  # noqa: S104 - all hosts
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        self._go(self._accept)

    def close(self) -> None:
        """Pass nothing on any more."""
        for each in self._sockets:
            each.close()

    def cut(self) -> None:
        """End all connections, and make no new ones."""
        self._is_cut = True
        for each in self._sockets[1:]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Pass nothing on for now."""
        self._flows.clear()

    def heal(self) -> None:
        """Be whole again."""
        self._is_cut = False
        self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self._target(), timeout=30)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                near.close()
                continue
            far.settimeout(None)
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(one)
                self._pass_on(one, other)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        more = threading.Semaphore(0)

        def read() -> None:
            data = b"-"
            while data:
                try:
                    data = source.recv(1 << 14)
                except OSError:
                    data = b""
                waiting.append((time.monotonic() + self._delay_s, data))
                more.release()

        def write() -> None:
            while more.acquire():
                at, data = waiting.popleft()
                time.sleep(max(0.0, at - time.monotonic()))
                self._flows.wait()
                if not data or not _sent(sink, data):
                    break
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        self._go(read)
        self._go(write)

    @staticmethod
    def _go(run: Callable[[], None]) -> None:
        threading.Thread(target=run, daemon=True).start()


def _sent(sink: socket.socket, data: bytes) -> bool:
    try:
        sink.sendall(data)
    except OSError:
        return False
    return True

"""Threads, locks and sockets of the system itself, also where a user's are green.

``gevent.monkey.patch_all()`` and ``eventlet.monkey_patch()`` put greenlets in place of
all threads. Greenlets run while others wait in the library's own way; a mailbox waits
in the kernel, so they would never run. A green socket may be waited for only in the
thread that made it. The user's own functions may be green: each thread has a hub of
its own.
"""

from __future__ import annotations

import _socket
import _thread
import contextlib
import os
import select
import sys
import threading
from _queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Self

__all__ = [
    "Signal",
    "SimpleQueue",
    "Socket",
    "allocate_lock",
    "is_main_thread",
    "message_pair",
    "poll",
    "start",
]


def _unpatched(module: ModuleType, name: str) -> Any:
    # A program may have been patched before it imported this.
    if gevent := sys.modules.get("gevent.monkey"):
        return gevent.get_original(module.__name__, name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet and any(map(eventlet.is_monkey_patched, ("thread", "select"))):
        module = eventlet.original(module.__name__)
    return getattr(module, name)


#: A lock that is the kernel's.
allocate_lock: Callable[[], _thread.LockType] = _unpatched(_thread, "allocate_lock")
_start_new_thread: Callable[..., int] = _unpatched(_thread, "start_new_thread")


class Signal:
    """What one thread waits for and any may give: given many times, it is taken once.

    The conditions and events of `threading` take their locks from where they may be
    green.
    """

    def __init__(self) -> None:
        self._given = allocate_lock()
        self._given.acquire()

    def give(self) -> None:
        """Let whoever waits go on, or whoever waits next."""
        with contextlib.suppress(RuntimeError):  # it is given already
            self._given.release()

    def wait(self, within_s: float | None = None) -> bool:
        """Take it, once it is given; returns False where the seconds are over."""
        timeout = -1 if within_s is None else min(within_s, threading.TIMEOUT_MAX)
        return self._given.acquire(timeout=timeout)


def start(run: Callable[[], object], name: str) -> Signal:
    """Begin a thread that keeps no process from ending.

    Returns:
        What is given at its end.

    Raises:
        RuntimeError: The user has as many threads as are allowed.
    """
    ended = Signal()

    def body() -> None:
        try:
            run()
        finally:
            ended.give()

    def named() -> None:
        with contextlib.suppress(Exception):
            threading.current_thread().name = name
        body()

    if _thread.start_new_thread is _start_new_thread:
        threading.Thread(target=body, name=name, daemon=True).start()
    else:
        _start_new_thread(named, ())
    return ended


def poll() -> select.poll:
    """What waits for many descriptors; both libraries take it away or replace it."""
    made: select.poll = _unpatched(select, "poll")()
    return made


def is_main_thread() -> bool:
    """Whether it is the one that takes signals: on Linux, the process's first."""
    return threading.get_native_id() == os.getpid()


class Socket(_socket.socket):
    """A socket that any thread may wait for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def message_pair() -> tuple[Socket, Socket]:
    """Two ends of a way for messages, none of which is read in parts."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Socket(fileno=one.detach()), Socket(fileno=other.detach())

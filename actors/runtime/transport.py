"""Thespian 4.0.1, made to fit: what is changed in it, and why, in one place.

``install`` is called before the first actor system of a process; the processes
of the system are forked from it and inherit the changes. A Thespian that does
not have what is changed here is refused.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import selectors
import socket
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import thespian
from thespian.system import multiprocCommon
from thespian.system.transport import ReceiveEnvelope, TransmitIntent

from actors.host import forks, keeper, process_end, signals
from actors.host.descendants import COOKIE
from actors.runtime import closed
from actors.runtime.closed import LOOPBACK
from actors.runtime.processes import die_with_parent
from actors.runtime.thespian_tcp import IPBase, TCPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

VERSION = "4.0.1"


class TransportError(RuntimeError):
    """The transport underneath is not the one this was made for."""


_installed = False


def install(thespian_log: str, admitted: Iterable[Callable[..., Any]]) -> None:
    """Change Thespian for this process and those forked from it.

    Args:
        thespian_log: File for Thespian's own log, the only place where it tells
            of messages that it gave up.
        admitted: Classes that messages may hold, beside Thespian's own.

    Raises:
        TransportError: Thespian is not the one that this was made for, or does
            not do with the changes what it is to do.
    """
    global _installed  # noqa: PLW0603
    os.environ["THESPLOG_FILE"] = thespian_log
    if _installed:
        return
    _check()
    _listen_on_loopback()
    _keep_admin()
    _end_as_programs_do()
    _die_with_parents()
    _let_the_logger_die()
    _remember_keeper()
    _name_messages_by_type()
    _poll_without_a_descriptor()
    _leave_signals_alone()
    _keep_sockets_from_forks()
    closed.close(admitted)
    _check_changed()
    _installed = True


def _check() -> None:
    found = getattr(thespian, "__version__", None) or _distribution_version()
    if found != VERSION:
        raise TransportError(f"thespian {VERSION} is needed, found {found}")
    for owner, name in (
        (multiprocCommon, "startAdmin"),
        (multiprocCommon, "startupASLogger"),
        (multiprocCommon, "startChild"),
        (multiprocCommon, "detach_child"),
        (multiprocCommon, "set_signal_handler"),
        (multiprocCommon, "MultiProcAdmin"),
        (IPBase.IPActorAddress, "bindArgs"),
        (TransmitIntent, "identify"),
        (ReceiveEnvelope, "identify"),
        (TCPTransport, "selectors"),
        (TCPTransport, "serializer"),
        (TCPTransport, "ReceiveBuffer"),
        (TCPTransport, "ackMsg"),
        (TCPTransport, "ackDataErrMsg"),
        (TCPTransport, "toSendBuffer"),
        (TCPTransport.TCPTransport, "serializer"),
        (TCPTransport.TCPTransport, "_addedDataToIncoming"),
    ):
        if not hasattr(owner, name):
            raise TransportError(f"thespian {VERSION} has no {name}")


def _check_changed() -> None:
    # Not what was written into it, but what it does now.
    address = TCPTransport.TCPv4ActorAddress(None, 0, external=True)
    if address.bindArgs[0][0] != LOOPBACK or address.sockname[0] != LOOPBACK:
        raise TransportError(f"thespian {VERSION} does not listen on {LOOPBACK}")
    if (problem := closed.problem()) is not None:
        raise TransportError(f"thespian {VERSION} is not closed: {problem}")


def _distribution_version() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version("thespian")


def _listen_on_loopback() -> None:
    # As it comes, every actor listens on all interfaces and unpickles whatever
    # arrives there; the variable alone changes what is advertised, not the bind.
    os.environ["THESPIAN_BASE_IPADDR"] = LOOPBACK
    IPBase.IPActorAddress.bindArgs = property(
        lambda self: ((LOOPBACK, self.bindname[1]),)
    )


def _keep_admin() -> None:
    # The admin makes itself a daemon by a second fork, and its parent ends. Here that
    # one stays, as a child of the main process: it keeps the admin, and ends with
    # either of them whatever the stages have started.
    start = multiprocCommon.startAdmin

    @functools.wraps(start)
    def start_admin(*args: Any) -> None:
        fork = os.fork

        def second_fork() -> int:
            os.fork = fork
            keeper.stay_behind()
            return 0

        os.fork = second_fork
        start(*args)

    multiprocCommon.startAdmin = start_admin


def _die_with_parents() -> None:
    for name in ("startAdmin", "startupASLogger", "startChild"):
        start = getattr(multiprocCommon, name)
        setattr(multiprocCommon, name, _mortal(start))


def _mortal(start: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(start)
    def mortal(*args: Any, **kwargs: Any) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid is not None:
            die_with_parent(parent.pid)
        start(*args, **kwargs)

    return mortal


def _end_as_programs_do() -> None:
    # As it comes, an actor ends without ``atexit``, in the group of all others.
    start = multiprocCommon.startChild

    @functools.wraps(start)
    def start_child(*args: Any) -> None:
        os.setpgid(0, 0)
        os.environ[COOKIE] = str(os.getpid())
        process_end.begin()
        try:
            start(*args)
        except Exception:  # noqa: BLE001 - it is written where it can be seen
            traceback.print_exc()
        process_end.finish()

    multiprocCommon.startChild = start_child


def _leave_signals_alone() -> None:
    # As it comes, every signal has a handler in Python, and so has every fork.
    multiprocCommon.set_signal_handler = signals.set_handler


def _keep_sockets_from_forks() -> None:
    TCPTransport.socket = _Sockets()


class _Sockets:
    """The module ``socket``, with sockets that forks do not keep."""

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    @property
    def socket(self) -> type[socket.socket]:
        return _Socket


class _Socket(socket.socket):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        forks.keep_open(self)

    def accept(self) -> tuple[socket.socket, Any]:
        fd, address = self._accept()  # type: ignore[attr-defined]
        return _Socket(self.family, self.type, self.proto, fileno=fd), address


def _let_the_logger_die() -> None:
    # The admin means to start another logger when its logger dies, but misspells
    # the attribute and dies of it.
    multiprocCommon.MultiProcAdmin.logDefs = property(lambda self: self.logdefs)


def _remember_keeper() -> None:
    # Thespian lets go of the process it starts; whoever ends the system wants it.
    detach = multiprocCommon.detach_child

    def remember(child: multiprocessing.Process) -> None:
        global _keeper  # noqa: PLW0603
        _keeper = child
        detach(child)

    multiprocCommon.detach_child = remember


def _name_messages_by_type() -> None:
    # For a debug log that is off, Thespian writes out each message four times
    # between its sender and its receiver: of a thousand jobs, some milliseconds.
    def intent(self: Any) -> str:
        return f"{type(self.message).__name__} to {self.targetAddr}"

    def envelope(self: Any) -> str:
        return f"{type(self.message).__name__} from {self.sender}"

    TransmitIntent.identify = intent
    ReceiveEnvelope.identify = envelope


def _poll_without_a_descriptor() -> None:
    # It makes a selector for each look at its few sockets: poll(2) needs no
    # system calls for that, where epoll needs one for each socket and two more.
    TCPTransport.selectors = SimpleNamespace(
        DefaultSelector=selectors.PollSelector,
        EVENT_READ=selectors.EVENT_READ,
        EVENT_WRITE=selectors.EVENT_WRITE,
    )


_keeper: multiprocessing.Process | None = None


def keeper_process() -> multiprocessing.Process | None:
    """The process that an actor system of this process runs under."""
    return _keeper

"""What a fork inside a user's function takes along of ours: nothing but the log.

A fork has all that its process has: open files and with them our locks, sockets and
pipes, and our signal handlers. It may live long after the system, so in each one what
is ours is taken away, before the user's code goes on in it.

A program that is started without a fork in Python (``subprocess``, C) gets none of
it either: every file of ours is closed by ``exec``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import stat
import sys
from contextlib import contextmanager
from functools import wraps
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

#: What is up to here belongs to the user.
_STDERR = 2


class HasDescriptor(Protocol):
    """A socket, a file: what has a descriptor for as long as it is open."""

    def fileno(self) -> int:
        """The descriptor; below 0 once it is closed."""


class _State:
    """What this process knows; a fork has its own."""

    def __init__(self) -> None:
        self.shielded = False
        self.is_fork = False
        self.null = -1
        self.users: set[int] = set()
        self.shared: set[int] = set()
        self.numbers: set[int] = set()
        self.masks: dict[int, set[int | signal.Signals]] = {}
        self.things: WeakSet[HasDescriptor] = WeakSet()
        self.handlers: dict[int, Any] = {}


_state = _State()


def shield() -> None:
    """Take what is ours away from every fork of this process from now on."""
    if _state.null < 0:
        # Opened now: where it is needed, there may be no descriptor left.
        _state.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    _state.shielded = True


def unshield() -> None:
    """Leave forks of this process alone from now on: nothing of ours is left in it."""
    _state.shielded = False
    _state.numbers.clear()
    _state.handlers.clear()


@contextmanager
def of_ours() -> Iterator[None]:
    """Fork a process of ours, which takes along what it needs."""
    shielded, _state.shielded = _state.shielded, False
    try:
        yield
    finally:
        _state.shielded = shielded


def note_users_files() -> None:
    """Remember which files are open: they belong to whoever starts us."""
    _state.users = _open_now() - _state.numbers - _state.shared


def keep_all() -> None:
    """Take away from forks what is open now, for as long as this process lives.

    For one that has just been forked and has run nothing of the user's yet: what it
    has of its parents, such as the pipes of ``multiprocessing``.
    """
    for descriptor in _open_now() - _state.users - _state.shared:
        with contextlib.suppress(OSError):
            # A socket may be closed and its number given anew: see ``keep_open``.
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                _state.numbers.add(descriptor)


@contextmanager
def keeping() -> Iterator[None]:
    """Take away from forks what is opened meanwhile, and stays open."""
    before = _open_now()
    try:
        yield
    finally:
        _state.numbers |= _open_now() - before


def _open_now() -> set[int]:
    listed = map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208
    # One of them was only open to read this list, and its number is free again.
    return {fd for fd in listed if fd > _STDERR and _is_open(fd)}


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def share(descriptor: int) -> int:
    """Leave a descriptor of ours to forks; returns it."""
    _state.shared.add(descriptor)
    return descriptor


def keep(descriptor: int) -> int:
    """Take a descriptor away from forks until it is given up; returns it."""
    _state.numbers.add(descriptor)
    return descriptor


def give_up(descriptor: int) -> None:
    """Forget a descriptor; to be called before it is closed."""
    _state.numbers.discard(descriptor)


def keep_open(thing: HasDescriptor) -> None:
    """Take what has a descriptor away from forks, for as long as it is open."""
    _state.things.add(thing)


def handle(number: int, handler: Any) -> Any:
    """Set a signal handler of ours, which no fork has; returns the one before."""
    before = signal.signal(number, handler)
    _state.handlers[number] = handler
    return before


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Call a user's function so that a fork which returns from it ends there.

    Without it such a fork would go on as our process does: with the next job, or the
    next message.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        pid = os.getpid()
        try:
            answer = function(*args, **kwargs)
        except BaseException as error:
            if os.getpid() != pid:
                _leave(error)
            raise
        if os.getpid() != pid:
            _leave(None)
        return answer

    return call


def guarded_async(
    function: Callable[..., Awaitable[Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The same for an async function of the user's."""

    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        pid = os.getpid()
        try:
            answer = await function(*args, **kwargs)
        except BaseException as error:
            if os.getpid() != pid:
                _leave(error)
            raise
        if os.getpid() != pid:
            _leave(None)
        return answer

    return call


def end_fork() -> None:
    """End this process if it is a fork that came back into our code."""
    if _state.is_fork:
        _leave(None)


def _leave(error: BaseException | None) -> NoReturn:
    # As the interpreter ends, but for what is not this process's to end.
    code = 0 if error is None else 1
    with contextlib.suppress(BaseException):
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else bool(error.code)
        elif error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code & 0xFF)


def _before() -> None:
    if _state.shielded:
        # A signal that comes before the fork has its own handlers waits for them: one
        # of ours would take it, and SIGTERM would end nothing.
        every = signal.valid_signals()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, every)
        _state.masks[get_ident()] = before


def _in_parent() -> None:
    if (before := _state.masks.pop(get_ident(), None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_child() -> None:
    if get_ident() in _state.masks:
        _state.is_fork = True
        _give_signals_back()
        _let_go()
        _in_parent()


def _give_signals_back() -> None:
    signal.set_wakeup_fd(-1)
    faulthandler.disable()
    faulthandler.unregister(signal.SIGUSR1)
    for number, handler in _state.handlers.items():
        # A handler that the user has set since stays, as in any fork.
        if signal.getsignal(number) is handler:
            plain = number == signal.SIGINT
            signal.signal(
                number, signal.default_int_handler if plain else signal.SIG_DFL
            )


def _let_go() -> None:
    # Their numbers stay taken: the objects that have them would close, or write to,
    # what the user opens under the same number.
    descriptors = set(_state.numbers)
    for thing in list(_state.things):
        with contextlib.suppress(OSError, ValueError):
            descriptors.add(thing.fileno())
    for descriptor in descriptors:
        if descriptor > _STDERR:
            with contextlib.suppress(OSError):
                os.dup2(_state.null, descriptor, inheritable=False)


if hasattr(os, "register_at_fork"):  # not where there are no forks
    os.register_at_fork(
        before=_before, after_in_parent=_in_parent, after_in_child=_in_child
    )

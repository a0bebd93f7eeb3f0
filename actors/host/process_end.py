"""How a process of ours ends that has run a user's code: as the interpreter does.

Threads are waited for, ``atexit`` is run, what was printed or written to a file is
there; but all of it within a time, since any of them may take for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import io
import logging
import os
import stat
import sys
import threading
import time
import weakref
from multiprocessing import util
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long all of it may take, in seconds.
WITHIN_S = 2.0
#: How long threads are waited for, in seconds: those that are no daemons.
THREADS_WITHIN_S = 1.0

#: Files that were open when the first of these processes was forked, of the program's:
#: what they hold is the program's to write. None until then.
_inherited: dict[int, weakref.ref[io.IOBase]] | None = None

# The user's code may put others in their place.
_exit, _set_recursion_limit = os._exit, sys.setrecursionlimit


def begin() -> None:
    """Make this process, which has just been forked, one that ends by itself."""
    global _inherited  # noqa: PLW0603 - of this process, and of those forked from it
    # What others have registered is for their own process to run.
    atexit._clear()  # noqa: SLF001
    atexit.register(logging.shutdown)
    atexit.register(util._exit_function)  # type: ignore[attr-defined]  # noqa: SLF001
    if _inherited is None:
        # Once, for all that are forked from here: to look at each object makes the
        # memory that holds it a process's own.
        _inherited = {id(each): weakref.ref(each) for each in _files()}
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null:
        os.close(null)
    sys.setrecursionlimit = _recursion_limit_from(sys.getrecursionlimit())
    # A line is printed when it is printed: whoever is killed has said it.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _recursion_limit_from(least: int) -> Callable[[int], None]:
    # A lower one would be below the stack of the mailbox, which could do nothing more,
    # nor end its process: what it forks would go on in its place.
    def set_recursion_limit(limit: int, /) -> None:
        is_low = isinstance(limit, int) and 0 < limit < least
        _set_recursion_limit(least if is_low else limit)

    return set_recursion_limit


def finish() -> NoReturn:
    """End this process, with all that the user wants done at its end."""
    with contextlib.suppress(BaseException):
        # The interpreter's own clock: it needs no lock that the user may hold.
        faulthandler.dump_traceback_later(WITHIN_S, exit=True, file=_nowhere())
    flush()
    with contextlib.suppress(BaseException):
        waiter = threading.Thread(target=_wait_for_threads, daemon=True)
        waiter.start()
        waiter.join(THREADS_WITHIN_S)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001
    with contextlib.suppress(BaseException):
        _write_files()
    flush()
    _exit(0)


def flush() -> None:
    """Write what was printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()


def _files() -> list[io.IOBase]:
    # What a class says of itself may be the user's: nothing of an object is asked.
    return [each for each in gc.get_objects() if issubclass(type(each), io.IOBase)]


def _write_files() -> None:
    """Write what the user's code has left in files that it did not close."""
    own, not_own = [], _inherited or {}
    for file in _files():
        inherited = not_own.get(id(file))
        if inherited is not None and inherited() is file:
            continue
        with contextlib.suppress(BaseException):
            # A pipe that nobody reads would hold this process up.
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                own.append(file)
                file.flush()
    for file in own:
        # One that packs, as gzip does, has an end to write.
        if type(file).__module__ != io.TextIOWrapper.__module__:
            with contextlib.suppress(BaseException):
                file.close()


def _wait_for_threads() -> None:
    end = time.monotonic() + THREADS_WITHIN_S
    # Of concurrent.futures: its threads wait for a word that there is no more work.
    for each in reversed(getattr(threading, "_threading_atexits", ())):
        with contextlib.suppress(BaseException):
            each()
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join(max(0.0, end - time.monotonic()))


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

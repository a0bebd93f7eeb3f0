"""Odd things that users' functions do, each in one line of a table.

To add one: write a function that takes a job and returns its id, and say with ``@odd``
in which roles it is run and how its jobs end. ``hunt.py`` makes a function of each role
from it, ``test_hunt.py`` runs them all.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import ctypes
import decimal
import faulthandler
import gc
import importlib
import locale
import logging
import logging.config
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

Function = Callable[[Any], Any]

#: Where a function may be odd.
ROLES = (
    *("process", "batch", "step", "fetch", "settle"),
    *("partition", "selector", "demand"),
)
#: How it ends for a job that is run oddly, with one attempt in ``process``: it is done;
#: the function raises, or what it returns is no result; its process is gone.
DONE, RAISES, CRASHES = "done", "raises", "crashes"


@dataclass(frozen=True, slots=True)
class Row:
    """One odd function, the roles that it is run in, and its job's end in them.

    Attributes:
        end: Of the call for one job. A job whose call crashes or raises is quarantined
            by ``process`` and in batches, as they have one attempt here, and so is
            one that is raised at in finding its route. In the other roles a function
            is odd once, and what it does once is made up for: each job is done.
    """

    function: Function
    roles: tuple[str, ...]
    end: str


TABLE: dict[str, Row] = {}
#: What functions leave open for good.
_kept: list[Any] = []


def odd(
    end: str = DONE, roles: tuple[str, ...] = ROLES
) -> Callable[[Function], Function]:
    """Put a function into the table."""

    def put(function: Function) -> Function:
        TABLE[function.__name__] = Row(function, roles, end)
        return function

    return put


def _square(number: int) -> int:
    return number * number


# What users do with processes and threads.


@odd()
def pool(job: Any) -> Any:
    with multiprocessing.Pool(2) as workers:
        assert workers.map(_square, range(4)) == [0, 1, 4, 9]
    return job["id"]


@odd()
def executor(job: Any) -> Any:
    with concurrent.futures.ProcessPoolExecutor(2) as workers:
        assert list(workers.map(_square, range(4))) == [0, 1, 4, 9]
    return job["id"]


@odd()
def green_threads(job: Any) -> Any:
    # Most do it where they are imported: tests/user_code/test_green.py.
    importlib.import_module("gevent.monkey").patch_all()
    time.sleep(0.01)
    return job["id"]


@odd()
def spawned(job: Any) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=_square, args=(2,))
    process.start()
    process.join()
    assert process.exitcode == 0
    return job["id"]


@odd()
def forkserver(job: Any) -> Any:
    process = multiprocessing.get_context("forkserver").Process(
        target=_square, args=(2,)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    return job["id"]


@odd()
def start_method(job: Any) -> Any:
    multiprocessing.set_start_method("spawn", force=True)
    return job["id"]


@odd()
def program(job: Any) -> Any:
    assert subprocess.check_output(["cat"], stdin=None) == b""
    return job["id"]


@odd()
def left_programs(job: Any) -> Any:
    subprocess.Popen(["sleep", "6002"])
    subprocess.Popen(["sleep", "6002"], start_new_session=True)
    hidden = "sleep 6002 & setsid sleep 6002 &"
    subprocess.run(["sh", "-c", hidden], check=True)
    return job["id"]


@odd()
def left_forks(job: Any) -> Any:
    for is_daemon in (True, False):
        fork = multiprocessing.Process(target=time.sleep, args=(6002,))
        fork.daemon = is_daemon
        fork.start()
    return job["id"]


@odd()
def spawned_by_posix(job: Any) -> Any:
    pid = os.posix_spawnp("true", ["true"], os.environ)
    os.waitpid(pid, 0)
    return job["id"]


@odd()
def two_of_it(job: Any) -> Any:
    os.fork()
    return job["id"]


@odd()
def fork_that_raises(job: Any) -> Any:
    if os.fork() == 0:
        raise KeyError(job["id"])
    return job["id"]


@odd()
def fork_that_logs(job: Any) -> Any:
    pid = os.fork()
    if pid == 0:
        logging.getLogger("fork").warning("from a fork")
        os._exit(0)
    os.waitpid(pid, 0)
    return job["id"]


@odd()
def threads(job: Any) -> Any:
    def log() -> None:
        logging.getLogger("thread").warning("%d", "x")
        sys.exit(3)

    thread = threading.Thread(target=log)
    thread.start()
    thread.join()
    return job["id"]


@odd()
def threads_for_ever(job: Any) -> Any:
    threading.Thread(target=time.sleep, args=(6002,), daemon=True).start()
    threading.Thread(target=time.sleep, args=(6002,)).start()
    return job["id"]


@odd()
def exit_handlers(job: Any) -> Any:
    atexit.register(time.sleep, 6002)
    atexit.register(sys.exit, 3)
    return job["id"]


@odd()
def loops(job: Any) -> Any:
    async def main() -> int:
        process = await asyncio.create_subprocess_exec("true")
        await asyncio.gather(asyncio.sleep(0.01), process.wait())
        return 1

    assert asyncio.run(main()) == 1
    return job["id"]


# What they change in their process.


@odd()
def directory(job: Any) -> Any:
    os.chdir(tempfile.mkdtemp())
    return job["id"]


@odd()
def directory_gone(job: Any) -> Any:
    place = tempfile.mkdtemp()
    os.chdir(place)
    Path(place).rmdir()
    return job["id"]


@odd()
def mask(job: Any) -> Any:
    os.umask(0o777)
    return job["id"]


@odd()
def environment(job: Any) -> Any:
    effects = os.environ["TEST_EFFECTS"]
    os.environ.clear()
    os.environ["TEST_EFFECTS"] = effects
    return job["id"]


@odd()
def handlers(job: Any) -> Any:
    with contextlib.suppress(ValueError):  # in a thread
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return job["id"]


@odd()
def handlers_in_c(job: Any) -> Any:
    ignore = ctypes.c_void_p(1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1):
        ctypes.CDLL(None).signal(int(number), ignore)
    return job["id"]


@odd()
def log_to_stderr(job: Any) -> Any:
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.getLogger("mine").info("straight to standard error")
    return job["id"]


@odd()
def log_of_its_own(job: Any) -> Any:
    config = {"version": 1, "disable_existing_loggers": True, "root": {"handlers": []}}
    logging.config.dictConfig(config)
    logging.disable(logging.CRITICAL)
    return job["id"]


@odd()
def log_mistakes(job: Any) -> Any:
    log = logging.getLogger("mistakes")
    log.warning("%d", *"x")
    log.log(25, "an odd level")
    log.error("nothing raised", exc_info=True)  # noqa: LOG014 - that is the mistake
    warnings.warn("a warning", stacklevel=1)
    return job["id"]


@odd()
def warnings_as_errors(job: Any) -> Any:
    warnings.simplefilter("error")
    return job["id"]


@odd()
def language(job: Any) -> Any:
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
    return job["id"]


@odd()
def zone(job: Any) -> Any:
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    return job["id"]


@odd()
def deep(job: Any) -> Any:
    sys.setrecursionlimit(100_000)
    return job["id"]


@odd()
def impatient(job: Any) -> Any:
    socket.setdefaulttimeout(0.000_001)
    return job["id"]


@odd()
def seed(job: Any) -> Any:
    random.seed(0)
    return job["id"]


@odd()
def output_replaced(job: Any) -> Any:
    sys.stdout = None
    sys.stderr = None
    return job["id"]


@odd()
def output_closed(job: Any) -> Any:
    sys.stdout.close()
    return job["id"]


@odd()
def no_collector(job: Any) -> Any:
    gc.disable()
    return job["id"]


@odd()
def no_traces(job: Any) -> Any:
    faulthandler.disable()
    sys.settrace(None)
    sys.tracebacklimit = 0
    return job["id"]


@odd()
def no_files(job: Any) -> Any:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, hard))
    return job["id"]


@odd()
def niceness(job: Any) -> Any:
    os.nice(19)
    return job["id"]


@odd()
def leaks_files(job: Any) -> Any:
    with contextlib.suppress(OSError):
        sys.modules["leaked"] = [  # type: ignore[assignment]
            os.open(os.devnull, os.O_RDONLY) for _ in range(200)
        ]
    return job["id"]


@odd()
def changes_the_job(job: Any) -> Any:
    number = job["id"]
    job.clear()
    return number


# How they end.


@odd(RAISES)
def leaves(job: Any) -> NoReturn:
    sys.exit()


@odd(RAISES)
def interrupted(job: Any) -> NoReturn:
    raise KeyboardInterrupt


@odd(RAISES)
def generator_exit(job: Any) -> NoReturn:
    raise GeneratorExit


@odd(RAISES)
def stop_iteration(job: Any) -> NoReturn:
    raise StopIteration


@odd(RAISES)
def odd_syntax(job: Any) -> NoReturn:
    raise SyntaxError(*["unexpected token", "else"])


@odd(RAISES)
def group(job: Any) -> NoReturn:
    raise BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("x")])


class _OddError(Exception):
    def __str__(self) -> str:
        raise SystemExit

    @property
    def permanent(self) -> bool:
        raise KeyboardInterrupt


@odd(RAISES)
def odd_error(job: Any) -> NoReturn:
    raise _OddError


@odd(RAISES)
def too_deep(job: Any) -> Any:
    return too_deep(job)


@odd(RAISES)
def interrupts_main(job: Any) -> NoReturn:
    signal.raise_signal(signal.SIGINT)
    raise ValueError("it was for another thread")


@odd(CRASHES)
def crash(job: Any) -> Any:
    ctypes.CDLL(None).strlen(None)
    return job["id"]


@odd(CRASHES)
def aborts(job: Any) -> NoReturn:
    os.abort()


@odd(CRASHES)
def alarm(job: Any) -> NoReturn:
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(6002)
    raise AssertionError


@odd(CRASHES)
def exits_at_once(job: Any) -> NoReturn:
    os._exit(0)


@odd(CRASHES)
def ends_its_group(job: Any) -> NoReturn:
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGKILL)
    raise AssertionError


@odd(CRASHES)
def closes_all_files(job: Any) -> Any:
    os.closerange(3, 4096)
    return job["id"]


@odd(RAISES, ("process", "batch"))
def returns_a_set(job: Any) -> Any:
    return {job["id"]}


@odd(RAISES, ("process", "batch"))
def returns_a_coroutine(job: Any) -> Any:
    async def later() -> None:
        pass

    coroutine = later()
    coroutine.close()
    return coroutine


@odd(RAISES, ("process", "batch"))
def returns_itself(job: Any) -> Any:
    result: list[Any] = []
    result.append(result)
    return result


_result: dict[str, Any] = {}


@odd(roles=("process", "batch"))
def returns_one_dict(job: Any) -> Any:
    _result["id"] = job["id"]
    return _result


@odd()
def event_loop(job: Any) -> Any:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    async def both() -> list[int]:
        return list(await asyncio.gather(double(job["id"]), double(0)))

    return asyncio.run(both())[0] // 2


@odd()
def manager(job: Any) -> Any:
    with multiprocessing.Manager() as shared:
        box = shared.list([job["id"]])
        return box[0]


@odd()
def pipes_left_open(job: Any) -> Any:
    _kept.append(
        subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )
    _kept.append(os.popen("sleep 600"))  # noqa: S605 - as users write it
    return job["id"]


@odd()
def output_moved(job: Any) -> Any:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    print("nobody reads this", flush=True)
    return job["id"]


@odd()
def fault_handler(job: Any) -> Any:
    faulthandler.enable()
    faulthandler.dump_traceback_later(3600)
    faulthandler.cancel_dump_traceback_later()
    faulthandler.disable()
    return job["id"]


@odd()
def hooks_of_threads(job: Any) -> Any:
    threading.excepthook = lambda _: sys.exit(3)
    sys.excepthook = lambda *_: sys.exit(3)
    sys.unraisablehook = lambda _: sys.exit(3)
    thread = threading.Thread(target=lambda: 1 // 0)
    thread.start()
    thread.join()
    return job["id"]


@odd()
def tracer(job: Any) -> Any:
    # As coverage, profilers and debuggers do; for this thread and each later one.
    sys.setprofile(lambda *_: None)
    threading.settrace(lambda *_: None)
    sys.settrace(lambda *_: None)
    return job["id"]


@odd()
def own_session(job: Any) -> Any:
    with contextlib.suppress(OSError):
        os.setsid()
    os.umask(0o777)
    return job["id"]


@odd()
def memory_limit(job: Any) -> Any:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, most))
    try:
        bytearray(4 << 30)
    except MemoryError:
        return job["id"]
    raise AssertionError


@odd()
def decimals(job: Any) -> Any:
    decimal.getcontext().prec = 1
    sys.setswitchinterval(1.0)
    sys.set_int_max_str_digits(640)
    socket.setdefaulttimeout(0.001)
    return job["id"]


@odd()
def forgets_modules(job: Any) -> Any:
    for name in ("json", "logging", "sqlite3", "actors", "actors.demand"):
        sys.modules.pop(name, None)
    return job["id"]


@odd()
def patched_clock(job: Any) -> Any:
    # As freezegun does, in this module's sight only.
    time.sleep, kept = (lambda _: None), time.sleep
    time.sleep(60)
    time.sleep = kept
    return job["id"]


@odd()
def low_recursion_limit(job: Any) -> Any:
    sys.setrecursionlimit(60)
    return job["id"]


@odd()
def replaced_exit(job: Any) -> Any:
    # As a test's stub does that is never taken back.
    vars(os)["_exit"] = lambda _=0: None
    return job["id"]

"""Job functions for the system tests, as a user would write them."""

import itertools
import json
import math
import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import domain.numbers

_numbers = itertools.count(1)
_lock = threading.Lock()


def nap(job: Any) -> Any:
    """Take a fifth of a second."""
    time.sleep(0.2)
    return job["number"]


def timed_nap(job: Any) -> Any:
    """Take a fifth of a second, and say from when to when."""
    began = time.monotonic()
    time.sleep(0.2)
    return [began, time.monotonic()]


def short_nap(job: Any) -> Any:
    """Take a twentieth of a second."""
    time.sleep(0.05)
    return job["number"]


def minute(job: Any) -> Any:
    """Note, and take a minute."""
    _note(job)
    time.sleep(60)
    return job["number"]


def held_root(job: Any) -> float:
    """Note, and take the root once the file that ``SWITCH`` names is there."""
    _note(job)
    while not Path(os.environ["SWITCH"]).exists():
        time.sleep(0.01)
    return math.sqrt(job["number"])


def many(count: int) -> Any:
    """Return ``count`` jobs of a kilobyte each, then none."""
    with _lock:
        number = next(_numbers)
    return {"id": number, "text": "x" * 1000} if number <= count else None


def long(count: int) -> Any:
    """Return ``count`` jobs of four kilobytes each, then none."""
    job = many(count)
    return job and {"id": job["id"], "text": job["text"] * 4}


def heavy(count: int) -> Any:
    """Return ``count`` jobs of a megabyte each, the second of five, then none."""
    job = many(count)
    if job is not None:
        job["text"] *= 5000 if job["id"] == 2 else 1000
    return job


def length(job: Any) -> int:
    """How long the job's text is."""
    return len(job["text"])


def broken(job: Any) -> Any:
    """Fail, always."""
    raise RuntimeError(f"cannot do {job['id']}")


def leave(job: Any) -> Any:
    """End the process without a word."""
    os._exit(7)


def _note(job: Any) -> None:
    """Leave a trace of having run, as a side effect on the world would."""
    line = f"{job['id']} {os.getpid()}\n".encode()
    with Path(os.environ["TEST_EFFECTS"]).open("ab", buffering=0) as effects:
        effects.write(line)


def _first_time(name: str) -> bool:
    """Whether nobody of this test, in whichever process, asked this before."""
    try:
        os.close(
            os.open(f"{os.environ['TEST_EFFECTS']}.{name}", os.O_CREAT | os.O_EXCL)
        )
    except FileExistsError:
        return False
    return True


def root(job: Any) -> float:
    """Note, and take the root."""
    _note(job)
    return math.sqrt(job["number"])


def slow_root(job: Any) -> float:
    """Note, then take a tenth of a second for the root."""
    _note(job)
    time.sleep(0.1)
    return math.sqrt(job["number"])


def padded_root(job: Any) -> Any:
    """Note, then take a tenth of a second for the root, in a result of 4 KiB."""
    _note(job)
    time.sleep(0.1)
    return [math.sqrt(job["number"]), "x" * 4096]


def wide(job: Any) -> Any:
    """A result of 20 KiB, or little for a job that is as wide itself."""
    return "x" * 20_480 if "number" in job else len(job["pad"])


def fetch_wide() -> Any:
    """Return jobs of 20 KiB, a thousand of them."""
    with _lock:
        number = next(_numbers)
    return {"id": number, "pad": "x" * 20_480} if number <= 1000 else None


def long_root(job: Any) -> float:
    """Note, then take three seconds for the root."""
    _note(job)
    time.sleep(3.0)
    return math.sqrt(job["number"])


def fails_once(job: Any) -> float:
    """Note, and fail the first time that job 2 is run."""
    _note(job)
    if job["id"] == 2 and _first_time("failed"):
        raise RuntimeError("once")
    return math.sqrt(job["number"])


def deadly(job: Any) -> float:
    """Note; job 3 ends the process, whenever it is run."""
    _note(job)
    if job["id"] == 3:
        os._exit(9)
    return math.sqrt(job["number"])


def effect_then_gone(job: Any) -> float:
    """Note, and end the process before anybody hears of it, the first time."""
    _note(job)
    if job["id"] == 2 and _first_time("gone"):
        os.kill(os.getpid(), signal.SIGKILL)
    return math.sqrt(job["number"])


def spins_once(job: Any) -> float:
    """Note; job 2 never ends, the first time."""
    _note(job)
    while job["id"] == 2 and _first_time("spun"):
        while True:
            pass
    return math.sqrt(job["number"])


def hungry(job: Any) -> float:
    """Note; job 2 wants more memory than there is, the first time."""
    _note(job)
    if job["id"] == 2 and _first_time("hungry"):
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
        try:
            return len(bytearray(1 << 32))
        finally:
            resource.setrlimit(
                resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
    return math.sqrt(job["number"])


def fetch_then_gone(url: str) -> Any:
    """Fetch; the process ends with job 5 in its hands, the first time."""
    job = domain.numbers.fetch(url)
    if job is not None and job["id"] == 5 and _first_time("fetched"):
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def fetch_after_an_error() -> Any:
    """Fail, then return the number 4, then nothing more."""
    with _lock:
        call = next(_numbers)
    if call == 1:
        raise OSError("not yet")
    return {"id": 1, "number": 4} if call == 2 else None


def raising_fetch(url: str) -> Any:
    """Fetch, and fail with the number in hand the first time."""
    job = domain.numbers.fetch(url)
    if job is not None and _first_time("raised"):
        raise RuntimeError(f"dropped {job['id']}")
    return job


def evil_once() -> Any:
    """Return one job, with markup in whatever a page may show of it."""
    with _lock:
        number = next(_numbers)
    if number > 1:
        return None
    return {"id": "<b>1</b>", "html": "<script>document.title = 'owned'</script>"}


def until_mended(job: Any) -> Any:
    """Fail as long as the file that ``SWITCH`` names is not there."""
    if not Path(os.environ["SWITCH"]).exists():
        raise ValueError("<img src=x onerror=\"document.title = 'owned'\">")
    return len(job)


def leaky_fetch(url: str, token: str) -> Any:
    """Return one job, then fail with every secret there is in the error."""
    with _lock:
        number = next(_numbers)
    if number == 1:
        return {"id": 1}
    raise RuntimeError(f"GET {url}?key=7 with {token} or {os.environ['API_TOKEN']!r}")


def flavoured_fetch(flavour: str) -> Any:
    """One job that tells what was filled in, under a name that says nothing."""
    del flavour
    with _lock:
        number = next(_numbers)
    if number > 1:
        return None
    return {"id": 1, "taste": os.environ["FLAVOUR"], "password": "canary-in-payload"}


def leaky_process(job: Any) -> Any:
    """Fail with a secret from the environment in the error, however encoded."""
    secret = os.environ["API_TOKEN"]
    raise ValueError(f"{secret} {quote(secret)} {json.dumps({'at': secret})}")


def lengths(jobs: Any) -> Any:
    """How long each text is, in one go; a text over 1000 is refused."""
    return [
        ValueError("too long") if len(job["text"]) > 1000 else [len(jobs), job["id"]]
        for job in jobs
    ]


def too_few(jobs: Any) -> Any:
    """Forget one of the jobs."""
    return [1] * (len(jobs) - 1)


def twenty(count: int) -> Any:
    """Return ``count`` jobs, the third of which is long, then none."""
    job = many(count)
    if job and job["id"] == 3:
        job["text"] += "x"
    return job


def numbered(count: int) -> Any:
    """Return ``count`` jobs with a number, then none."""
    job = many(count)
    return job and {"id": job["id"], "number": job["id"]}


def page(count: int) -> Any:
    """Yield ``count`` jobs at once, when the file that ``SWITCH`` names is there."""
    if not Path(os.environ["SWITCH"]).exists():
        return
    with _lock:
        first = next(_numbers)
    if first == 1:
        yield from ({"id": number, "number": number} for number in range(1, count + 1))


def short_then_long(job: Any) -> Any:
    """Take no time for 800 jobs, and a tenth of a second for those behind them."""
    if job["number"] > 800:
        time.sleep(0.1)
    return job["number"]


def same(job: Any) -> Any:
    """Take no time at all."""
    return job["number"]


async def later(job: Any) -> Any:
    """What is not supported: an async function."""
    return job


def in_turn(job: Any) -> Any:
    """What is not supported as a process: a generator."""
    yield job

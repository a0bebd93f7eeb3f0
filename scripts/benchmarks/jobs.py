"""The job functions that the benchmarks run, in the fetcher and in processors.

Jobs have no ``id`` of their own, unless said: a made-up id never comes again, so
nothing of such a job is kept once it is done. With ids the journal also looks each
one up and remembers it for seven days; ``throughput_auto_journal_own_ids`` shows
what that costs.

What a job notes goes to a file of its process in ``BENCH_NOTES``; the times are
those of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import struct
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many jobs a source hands out at a time.
PAGE = 1000
#: A note: a number that says which job, and three times.
NOTE = struct.Struct("<qddd")
#: The mix: of a hundred jobs, so many take so long.
MIX = ((90, 10e-6), (9, 1e-3), (1, 50e-3))
#: Runs of jobs of one kind: count, and how long each takes. What ``auto`` learned
#: of one run is wrong for the next.
STRETCHES = ((2000, 10e-6), (30, 50e-3), (300, 1e-3), (2000, 10e-6), (20, 50e-3))
#: How long a job waits for another service.
WAIT_S = 0.2
#: Below this a job is busy, above it sleeps, as one that waits for I/O.
BUSY_BELOW_S = 0.5e-3


class Note(NamedTuple):
    """What a job noted."""

    number: int
    first: float
    second: float
    third: float


_numbers = itertools.count(1)
_file: IO[bytes] | None = None
_ended = 0.0
_next_at = 0.0


def endless() -> Iterator[dict[str, int]]:
    """A source that never runs dry, a page at a time."""
    for _ in range(PAGE):
        yield {"number": next(_numbers)}


def endless_named() -> Iterator[dict[str, int]]:
    """The same, with ids of its own."""
    for number in itertools.islice(_numbers, PAGE):
        yield {"id": number, "number": number}


def limited(count: int) -> Iterator[dict[str, int]]:
    """A source that has so many."""
    for number in itertools.islice(_numbers, PAGE):
        if number <= count:
            yield {"number": number}


def nothing() -> None:
    """A source that has none."""
    return


def paced(every_s: float) -> dict[str, float]:
    """A job every so often; it says when it was handed out."""
    global _next_at  # noqa: PLW0603 - the fetcher's one source
    now = time.monotonic()
    _next_at = max(_next_at + every_s, now)
    time.sleep(_next_at - now)
    return {"number": next(_numbers), "fetched_at": time.monotonic()}


def lasting(job_s: float) -> dict[str, float]:
    """An endless source of jobs that take so long."""
    return {"number": next(_numbers), "job_s": job_s}


def lasting_pages(job_s: float) -> Iterator[dict[str, float]]:
    """The same, a page at a time: what is short is not to wait for its source."""
    for _ in range(PAGE):
        yield lasting(job_s)


def one() -> dict[str, int]:
    """A source that never runs dry, and hands out one job a call."""
    return {"number": next(_numbers)}


def padded() -> Iterator[dict[str, Any]]:
    """A source of jobs of 1 KiB, a page at a time."""
    for _ in range(PAGE):
        yield {"number": next(_numbers), "pad": "x" * 1000}


def large(count: int) -> Iterator[dict[str, Any]]:
    """A source that has so many jobs of 100 KiB, a hundred at a time."""
    for number in itertools.islice(_numbers, 100):
        if number <= count:
            yield {"number": number, "pad": "x" * 102_400}


def mixed() -> dict[str, float]:
    """An endless source of short, longer and long jobs, evenly spread."""
    number = next(_numbers)
    place = number * 37 % 100  # 37 and 100 have no divisor in common
    for share, job_s in MIX:
        if place < share:
            return {"number": number, "job_s": job_s}
        place -= share
    raise AssertionError("the shares of the mix add up to 100")


def mixed_pages() -> Iterator[dict[str, float]]:
    """The same, a page at a time: the window is measured, and not the source."""
    for _ in range(PAGE):
        yield mixed()


def stretches() -> dict[str, float] | None:
    """A source whose jobs are short for a while, then long."""
    number = place = next(_numbers)
    for count, job_s in STRETCHES:
        if place <= count:
            return {"number": number, "job_s": job_s, "fetched_at": time.monotonic()}
        place -= count
    return None


def root(job: dict[str, Any]) -> float:
    """The trivial job."""
    return math.sqrt(job["number"])


def heard(event: dict[str, Any]) -> None:
    """A trivial hook."""


def picked_up(job: dict[str, Any]) -> float:
    """The trivial job; notes when it was fetched and when it began."""
    note(job["number"], job["fetched_at"], time.monotonic())
    return math.sqrt(job["number"])


def spaced(job: dict[str, Any]) -> float:
    """A job of 20 ms; notes when the one before ended and when this one began."""
    global _ended  # noqa: PLW0603 - the processor's one thread
    began = time.monotonic()
    if _ended:
        note(job["number"], _ended, began)
    time.sleep(0.02)
    _ended = time.monotonic()
    return 0.0


def slow(job: dict[str, Any]) -> float:
    """A job of 1 ms."""
    time.sleep(0.001)
    return math.sqrt(job["number"])


def ten_ms(job: dict[str, Any]) -> float:
    """Take ten milliseconds, and no CPU."""
    time.sleep(0.01)
    return root(job)


def waits(job: dict[str, Any]) -> float:
    """Take 200 ms, and no CPU: what waits for another service."""
    time.sleep(WAIT_S)
    return root(job)


async def waits_later(job: dict[str, Any]) -> float:
    """The same, as a task."""
    await asyncio.sleep(WAIT_S)
    return root(job)


def last(job: dict[str, Any]) -> float:
    """A job that takes as long as it says."""
    job_s = job["job_s"]
    if job_s > BUSY_BELOW_S:
        time.sleep(job_s)
    else:
        until = time.perf_counter() + job_s
        while time.perf_counter() < until:
            pass
    return math.sqrt(job["number"])


def last_noted(job: dict[str, Any]) -> float:
    """The same; notes when it was fetched, began and ended."""
    began = time.monotonic()
    result = last(job)
    note(int(job["number"]), job["fetched_at"], began, time.monotonic())
    return result


def note(number: int, first: float, second: float, third: float = 0.0) -> None:
    """Write a note down."""
    global _file  # noqa: PLW0603 - one for each process
    if _file is None:
        path = Path(os.environ["BENCH_NOTES"]) / str(os.getpid())
        _file = path.open("ab", buffering=0)
    _file.write(NOTE.pack(number, first, second, third))


def notes(directory: Path) -> dict[int, list[Note]]:
    """All notes so far, by process."""

    def read(path: Path) -> Iterator[Note]:
        written = path.read_bytes()
        whole = len(written) // NOTE.size * NOTE.size
        yield from itertools.starmap(Note, NOTE.iter_unpack(written[:whole]))

    return {int(path.name): list(read(path)) for path in directory.iterdir()}

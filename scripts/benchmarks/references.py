"""What the figures are held against: the same jobs moved by other means.

``pipe`` is the ceiling for Python objects between processes: jobs pickled in
batches of 1,000 through a pipe to two processes, and acknowledged; no work, no
journal, no demand. ``pool`` is what the standard library offers for the same work.
``round_trip`` is what one message to another actor and back costs.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import subprocess
import sys
import time
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from benchmarks import jobs
from benchmarks.model import ROOT, Measurement, MeasureError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.model import Bench, Numbers

BATCH = 1000
WORKERS = 2
#: Batches on their way to one process: one that is read, one that waits.
WINDOW = 2

#: Neither is this process threaded, nor do the workers need to import anything.
_context = multiprocessing.get_context("fork")


def pipe(bench: Bench) -> Numbers:
    """Jobs a second through a pipe, in batches, to two processes."""
    batches = max(20, bench.count(1_000_000) // BATCH)
    batch = [jobs.endless() for _ in range(BATCH)]
    ends = [_context.Pipe() for _ in range(WORKERS)]
    workers = [
        _context.Process(target=_acknowledge, args=(theirs,), daemon=True)
        for _, theirs in ends
    ]
    for each in workers:
        each.start()
    for _, theirs in ends:
        theirs.close()
    ours = [each for each, _ in ends]
    began = time.perf_counter()
    _feed(ours, batch, batches)
    took_s = time.perf_counter() - began
    for each in ours:
        each.send(None)
    for worker in workers:
        worker.join()
    for each in ours:
        each.close()
    return {"pipe": batches * BATCH / took_s}


def _feed(ours: list[Connection], batch: list[Any], batches: int) -> None:
    left, flying = batches, 0
    for each in ours * WINDOW:
        each.send(batch)
        left, flying = left - 1, flying + 1
    while flying:
        for each in connection.wait(ours):
            each.recv()  # type: ignore[union-attr]
            flying -= 1
            if left:
                each.send(batch)  # type: ignore[union-attr]
                left, flying = left - 1, flying + 1


def _acknowledge(theirs: Connection) -> None:
    while (batch := theirs.recv()) is not None:
        theirs.send(len(batch))


def pool(bench: Bench) -> Numbers:
    """Jobs a second of ``multiprocessing.Pool``, one job a task."""
    count = bench.count(20_000)
    source = itertools.islice(iter(jobs.endless, None), count)
    with _context.Pool(WORKERS) as workers:
        next(workers.imap_unordered(jobs.root, [jobs.endless()]))
        began = time.perf_counter()
        for _ in workers.imap_unordered(jobs.root, source):
            pass
        took_s = time.perf_counter() - began
    return {"pool": count / took_s}


def round_trip(bench: Bench) -> Numbers:
    """Milliseconds of a message between two actors and back, the median."""
    words = [sys.executable, "-m", "benchmarks.round_trip", str(bench.count(2000))]
    done = subprocess.run(
        [*words, str(bench.directory)],
        cwd=ROOT / "scripts",
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise MeasureError(f"round_trip: {done.stderr[-500:]}")
    median_s = json.loads(done.stdout)
    return {"round_trip": median_s * 1000, "a_round_trip": 1 / median_s}


MEASUREMENTS = (
    Measurement("pipe", ("pipe",), pipe),
    Measurement("pool", ("pool",), pool),
    Measurement("round_trip", ("round_trip", "a_round_trip"), round_trip),
)

"""What the figures are held against: the same jobs moved by other means.

``pipe`` is the ceiling for Python objects between processes: the jobs as a
processor is sent them, with key, attempt and id, in columns, pickled in batches of
1,000 through a pipe to two processes, which do the work; each job is answered by its
key and its result. No journal, no demand. ``pipe_bare`` leaves out even that: nothing
but what the source gave, and one word back for each thousand. ``pool`` is what the
standard library offers for the same work, at the best of a few sizes of its chunks.
``bulk_kept`` is the ceiling for what is kept: SQLite inserts a thousand rows and
deletes them again, each synced.
``pipe_trip`` is one such job through a pipe and back, ``pipe_kept`` what is promised
with ``max_demand`` 1, by the barest means: two processes over pipes, each with one
job, and each fetched job and each outcome on the disk before it counts.
``round_trip`` is what one message to another actor and back costs,
``commit`` what the journal needs to keep one job, synced to the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.demand.job import Job
from actors.demand.job_events import JobFetched
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal
from benchmarks import jobs
from benchmarks.model import ROOT, MeasureError, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from benchmarks.model import Bench, Numbers

BATCH = jobs.PAGE
WORKERS = 2
#: Batches on their way to one process: one that is read, one that waits.
WINDOW = 2

#: Neither is this process threaded, nor do the workers need to import anything.
_context = multiprocessing.get_context("fork")


class Sent(NamedTuple):
    """A job as it is sent alone. Of our own: what the product sends may change."""

    number: int
    key: int
    attempt: int
    id: int
    payload: Any


def pipe(bench: Bench) -> Numbers:
    """Jobs a second through a pipe, in batches, to two processes."""
    payloads = list(jobs.endless())
    keys = list(range(len(payloads)))
    attempts = [1] * len(payloads)
    return {"pipe": _rate(bench, (keys, attempts, keys, payloads), _worked_off)}


def pipe_bare(bench: Bench) -> Numbers:
    """The same, with nothing but what the source gave."""
    batch = list(jobs.endless())
    return {"pipe_bare": _rate(bench, batch, len)}


def _rate(bench: Bench, batch: Any, answer: Callable[[Any], Any]) -> float:
    batches = max(20, bench.count(1_000_000) // BATCH)
    ends = [_context.Pipe() for _ in range(WORKERS)]
    acknowledge = partial(_acknowledge, answer)
    workers = [
        _context.Process(target=acknowledge, args=(theirs,), daemon=True)
        for _, theirs in ends
    ]
    for worker in workers:
        worker.start()
    ours = [each for each, _ in ends]
    began = time.perf_counter()
    _feed(ours, batch, batches)
    took_s = time.perf_counter() - began
    for each in ours:
        each.send(None)
    for worker in workers:
        worker.join()
    for each, theirs in ends:
        each.close()
        theirs.close()
    return batches * BATCH / took_s


def _feed(ours: list[Connection], batch: Any, batches: int) -> None:
    for each in ours * WINDOW:
        each.send(batch)
    flying, left = len(ours) * WINDOW, batches - len(ours) * WINDOW
    while flying:
        ready = connection.wait(ours)
        for each in (end for end in ours if end in ready):
            each.recv()
            flying -= 1
            if left:
                each.send(batch)
                flying, left = flying + 1, left - 1


def _acknowledge(answer: Callable[[Any], Any], theirs: Connection) -> None:
    while (batch := theirs.recv()) is not None:
        theirs.send(answer(batch))


def _worked_off(batch: tuple[list[int], list[int], list[int], list[Any]]) -> Any:
    keys, _, _, payloads = batch
    return keys, [jobs.root(each) for each in payloads]


#: How many jobs a pool may be told to hand to a worker at once.
CHUNKS = (1, 16, 128, 1000)


def pool(bench: Bench) -> Numbers:
    """Jobs a second of ``multiprocessing.Pool``, at the best size of a chunk."""
    return {"pool": max(_pool(bench, chunk) for chunk in CHUNKS)}


def _pool(bench: Bench, chunk: int) -> float:
    count = bench.count(20_000)
    pages = iter(jobs.endless, None)
    source = itertools.islice(itertools.chain.from_iterable(pages), count)
    # A worker that the end of the pool meets in a wait for the other one's lock would
    # not come to a handler of Python's, which it has inherited.
    end = partial(signal.signal, signal.SIGTERM, signal.SIG_DFL)
    with _context.Pool(WORKERS, initializer=end) as workers:
        next(workers.imap_unordered(jobs.root, list(jobs.endless())[:1]))
        began = time.perf_counter()
        for _ in workers.imap_unordered(jobs.root, source, chunk):
            pass
        took_s = time.perf_counter() - began
    return count / took_s


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


def pipe_trip(bench: Bench) -> Numbers:
    """Milliseconds of a job through a pipe to another process and back, the median."""
    ours, theirs = _context.Pipe()
    worker = _context.Process(target=_echo, args=(theirs,), daemon=True)
    worker.start()
    job = Sent(1, 1, 1, 1, next(jobs.endless()))
    times = []
    for _ in range(bench.count(2000)):
        began = time.perf_counter()
        ours.send(job)
        ours.recv()
        times.append(time.perf_counter() - began)
    ours.send(None)
    worker.join()
    ours.close()
    theirs.close()
    return {"pipe_trip": statistics.median(times) * 1000}


def _echo(theirs: Connection) -> None:
    while (message := theirs.recv()) is not None:
        theirs.send(message)


def pipe_kept(bench: Bench) -> Numbers:
    """Jobs a second over pipes, one at a time to two processes, all of it synced."""
    ends = [_context.Pipe() for _ in range(WORKERS)]
    workers = [
        _context.Process(target=_work, args=(theirs,), daemon=True)
        for _, theirs in ends
    ]
    for worker in workers:
        worker.start()
    count = bench.count(6_000, least=WORKERS)
    with tempfile.TemporaryDirectory(dir=bench.directory) as directory:
        kept = sqlite3.connect(Path(directory) / "kept.db", isolation_level=None)
        kept.execute("PRAGMA journal_mode = WAL")
        kept.execute("PRAGMA synchronous = FULL")
        kept.execute("CREATE TABLE jobs (key INTEGER PRIMARY KEY, job, result)")
        began = time.perf_counter()
        _keep_and_feed([each for each, _ in ends], kept, count)
        took_s = time.perf_counter() - began
        kept.close()
    for (ours, theirs), worker in zip(ends, workers, strict=True):
        ours.send(None)
        worker.join()
        ours.close()
        theirs.close()
    return {"pipe_kept": count / took_s}


def _keep_and_feed(
    ours: list[Connection], kept: sqlite3.Connection, count: int
) -> None:
    waiting: deque[tuple[int, Any]] = deque()
    fetched = itertools.count(1)
    idle, flying, done = list(ours), 0, 0
    while done < count:
        while idle and done + flying < count:
            if not waiting:
                # A page of the source, as a fetcher has it: kept before it is sent.
                page = [(next(fetched), json.dumps(job)) for job in jobs.endless()]
                with _transaction(kept):
                    kept.executemany("INSERT INTO jobs (key, job) VALUES (?, ?)", page)
                waiting.extend(page)
            idle.pop().send(waiting.popleft())
            flying += 1
        ready = [end for end in connection.wait(ours) if end in ours]
        outcomes = [end.recv() for end in ready]
        with _transaction(kept):
            kept.executemany("UPDATE jobs SET result = ? WHERE key = ?", outcomes)
        idle += ready
        flying, done = flying - len(ready), done + len(ready)


@contextlib.contextmanager
def _transaction(kept: sqlite3.Connection) -> Iterator[None]:
    kept.execute("BEGIN")
    yield
    kept.execute("COMMIT")


def _work(theirs: Connection) -> None:
    while (told := theirs.recv()) is not None:
        key, job = told
        theirs.send((json.dumps(jobs.root(json.loads(job))), key))


def bulk_kept(bench: Bench) -> Numbers:
    """Jobs a second that SQLite inserts and deletes, a thousand at a time, synced."""
    pages = max(5, bench.count(100_000) // BATCH)
    with tempfile.TemporaryDirectory(dir=bench.directory) as directory:
        kept = sqlite3.connect(Path(directory) / "kept.db", isolation_level=None)
        kept.execute("PRAGMA journal_mode = WAL")
        kept.execute("PRAGMA synchronous = FULL")
        kept.execute("CREATE TABLE jobs (key INTEGER PRIMARY KEY, job)")
        began = time.perf_counter()
        for page in range(pages):
            keys = range(page * BATCH, (page + 1) * BATCH)
            rows = [
                (key, json.dumps(job))
                for key, job in zip(keys, jobs.endless(), strict=True)
            ]
            with _transaction(kept):
                kept.executemany("INSERT INTO jobs VALUES (?, ?)", rows)
            with _transaction(kept):
                gone = [(key,) for key in keys]
                kept.executemany("DELETE FROM jobs WHERE key = ?", gone)
        took_s = time.perf_counter() - began
        kept.close()
    return {"bulk_kept": pages * BATCH / took_s}


def commit(bench: Bench) -> Numbers:
    """Milliseconds of a commit of one job, synced, the median."""
    path = bench.directory / "commit.db"
    JournalFile(path).prepare()
    times = []
    with contextlib.closing(SqliteJournal(path, "source")) as journal:
        for key in range(1, bench.count(200) + 1):
            now = time.monotonic()
            job = Job(key, f"commit-{key}", next(jobs.endless()), now, own_id=False)
            journal.commit([JobFetched(job)])
            times.append(time.monotonic() - now)
    for each in bench.directory.glob("commit.db*"):
        each.unlink()
    return {"commit": statistics.median(times) * 1000}


MEASUREMENTS = (
    Measurement("pipe", ("pipe",), pipe),
    Measurement("pipe_bare", ("pipe_bare",), pipe_bare),
    Measurement("pool", ("pool",), pool),
    Measurement("round_trip", ("round_trip", "a_round_trip"), round_trip),
    Measurement("pipe_trip", ("pipe_trip",), pipe_trip),
    Measurement("pipe_kept", ("pipe_kept",), pipe_kept),
    Measurement("bulk_kept", ("bulk_kept",), bulk_kept),
    Measurement("commit", ("commit",), commit),
)

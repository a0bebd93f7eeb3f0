"""The main job as users have it: numbers over HTTP, at the log level that one has.

Beside what one would write instead: a loop with `requests` that takes roots, and the
same with SQLite, which keeps each number before its root is taken and the root before
the next number is asked for. That is what lowtide promises.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from benchmarks.model import ROOT, MeasureError, Measurement
from benchmarks.system import System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.model import Bench, Numbers

NUMBERS = 3_000
#: Of them, so many are done before the measuring begins, and left when it ends.
MARGIN = 0.1
WITHIN_S = 120.0


def main_job(bench: Bench) -> Numbers:
    """Jobs a second of the defaults, asked of a server that has enough of them."""
    count = bench.count(NUMBERS, least=60)
    with number_server(count) as url:
        settings = {"fetch_options": {"url": url}, "log_level": "info"}
        settings |= {"fetch": "domain.numbers:fetch"}
        settings |= {"process": "domain.numbers:process"}
        with System(bench, **settings) as system:
            first = _done(system, int(count * MARGIN))
            last = _done(system, int(count * (1 - MARGIN)))
    return {"main_job_http": (last[1] - first[1]) / (last[0] - first[0])}


def _done(system: System, count: int) -> tuple[float, int]:
    deadline = time.monotonic() + WITHIN_S
    while (done := system.done()) < count:
        if time.monotonic() > deadline:
            raise MeasureError(f"{done} of {count} jobs done in {WITHIN_S:g} s")
        time.sleep(0.25)
    return time.monotonic(), done


def loop(bench: Bench) -> Numbers:
    """Jobs a second of a loop that keeps nothing."""
    return {"loop_http": _rate(bench, lambda job: math.sqrt(job["number"]))}


def loop_kept(bench: Bench) -> Numbers:
    """Jobs a second of a loop that keeps number and root, both synced."""
    with tempfile.TemporaryDirectory(dir=bench.directory) as directory:
        kept = sqlite3.connect(Path(directory) / "kept.db", isolation_level=None)
        kept.execute("PRAGMA journal_mode = WAL")
        kept.execute("PRAGMA synchronous = FULL")
        kept.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, job, result)")

        def keep(job: dict[str, Any]) -> None:
            values = (job["id"], json.dumps(job))
            kept.execute("INSERT INTO jobs (id, job) VALUES (?, ?)", values)
            done = (json.dumps(math.sqrt(job["number"])), job["id"])
            kept.execute("UPDATE jobs SET result = ? WHERE id = ?", done)

        rate = _rate(bench, keep)
        kept.close()
    return {"loop_kept_http": rate}


def _rate(bench: Bench, work: Callable[[dict[str, Any]], object]) -> float:
    count = bench.count(NUMBERS, least=60)
    with number_server(count) as url, requests.Session() as session:
        began = time.perf_counter()
        for _ in range(count):
            work(session.get(f"{url}/number", timeout=5).json())
        return count / (time.perf_counter() - began)


@contextlib.contextmanager
def number_server(preload: int) -> Iterator[str]:
    """The bundled server with so many numbers, and none to come."""
    words = [sys.executable, "-m", "number_server", "--port", "0", "--every", "0"]
    words += ["--preload", str(preload)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


MEASUREMENTS = (
    Measurement("main_job_http", ("main_job_http",), main_job),
    Measurement("loop_http", ("loop_http",), loop),
    Measurement("loop_kept_http", ("loop_kept_http",), loop_kept),
)

"""Measure a hundred jobs at once that wait, beside what others do with them.

Each is measured by itself, one after another: jobs a second of 500 that could be done,
the memory of all its processes, and the CPU time that they take. What produces the
peers' jobs is not counted; here it is the fetcher, which is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import proc, report
from benchmarks.model import Bench, MeasureError
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.measure import PeerRun
from benchmarks.peers.redis_server import AS_IT_COMES, redis_server
from benchmarks.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 100
WARM_UP_S = 2.0


def _peer(name: str, app: str, requirements: tuple[str, ...], *worker: str) -> Peer:
    return Peer(name, name, requirements, f"waiting_{app}", worker, promise="")


_APPS = "benchmarks.peers.apps.waiting_"
PEERS = (
    _peer(
        "Dramatiq, 100 threads",
        "dramatiq",
        ("dramatiq[redis]>=1.17",),
        *("dramatiq", f"{_APPS}dramatiq", "--processes", "1", "--threads", "100"),
    ),
    _peer(
        "taskiq, a stream, async",
        "taskiq",
        ("taskiq>=0.11", "taskiq-redis>=1"),
        *("taskiq", "worker", f"{_APPS}taskiq:broker", "--workers", "1"),
        *("--max-async-tasks", "100", "--log-level", "WARNING"),
    ),
    _peer(
        "arq, async",
        "arq",
        ("arq>=0.26",),
        *("arq", f"{_APPS}arq.WorkerSettings"),
    ),
)


def main() -> int:
    """Measure, and print a table for the docs."""
    parser = argparse.ArgumentParser(prog="scripts/at_once", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each (10)")
    options = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.0f}"
    print(f"{report.machine()}; {AT_ONCE} jobs of 200 ms at once; {load}\n")
    print("| | jobs/s, of 500 | MB | CPU | CPU for each | Redis |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="at-once-", dir="/var/tmp") as name:
        bench = Bench(Path(name))
        for kind, function in (("threads", "waits"), ("async", "waits_later")):
            _lowtide(bench, f"lowtide, {kind}", function, options.seconds)
        for peer in PEERS:
            _told(bench, peer, options.seconds)
    return 0


def _lowtide(bench: Bench, name: str, function: str, seconds: float) -> None:
    with System(
        bench,
        process=f"benchmarks.jobs:{function}",
        processors=1,
        max_demand=AT_ONCE,
        concurrency=AT_ONCE,
    ) as system:
        system.wait_until_done(AT_ONCE, 60)
        _measure(name, system.pids(), None, system.done, seconds)


def _told(bench: Bench, peer: Peer, seconds: float) -> None:
    try:
        _beside(bench, peer, seconds)
    except MeasureError as error:
        print(f"| {peer.name} | {error} | | | | |", flush=True)


def _beside(bench: Bench, peer: Peer, seconds: float) -> None:
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=bench.directory))
        )
        redis = stack.enter_context(redis_server(directory, AS_IT_COMES))
        [server] = [each for each in proc.descendants(os.getpid()) if _is_redis(each)]
        run = PeerRun(peer, directory, redis, "one")
        stack.enter_context(run.producer())
        worker = stack.enter_context(run.worker())
        run.wait_for(AT_ONCE)
        pids = proc.descendants(worker.pid)
        _measure(peer.name, pids, server, run.done, seconds)


def _is_redis(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "redis-server"
    return False


def _measure(
    name: str,
    pids: list[int],
    server: int | None,
    done: Callable[[], int],
    seconds: float,
) -> None:
    time.sleep(WARM_UP_S)
    servers = [] if server is None else [server]
    began, before = time.monotonic(), done()
    cpu, theirs = proc.cpu_s(pids), proc.cpu_s(servers)
    time.sleep(seconds)
    took_s, count = time.monotonic() - began, done() - before
    cpu, theirs = proc.cpu_s(pids) - cpu, proc.cpu_s(servers) - theirs
    redis = f"{theirs / took_s:.0%}, {proc.pss_mb(servers):.0f} MB" if servers else ""
    print(
        f"| {name} | {count / took_s:.0f} | {proc.pss_mb(pids):.0f} "
        f"| {cpu / took_s:.0%} | {1000 * cpu / max(1, count):.2f} ms | {redis} |",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())

"""What a system of many processors costs, and what one fetcher can feed."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import proc, report
from benchmarks.model import ROOT, Bench, MeasureError
from benchmarks.system import System
from benchmarks.throughput import steady

from actors.host.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Processors that one system is measured with, and those that are fed with jobs.
SIZES = (2, 10, 30, 100, 250, 500)
FED = 100
#: Processors that are started with the system; more are attached then, so many
#: with one command, which answers when they are there.
AT_ONCE = 250
ATTACHED = 50
#: How long a waiting job takes, in seconds.
JOB_S = 0.02
#: How long an idle system is watched, in seconds.
IDLE_S = 10.0
START_WITHIN_S = 120.0
KEY = "the key of a bench, which nobody else may use"


def main() -> int:
    """Measure, and print tables for the docs."""
    parser = argparse.ArgumentParser(prog="scripts/scale", description=__doc__)
    parser.add_argument("--most", type=int, default=100, metavar="N", help="(100)")
    parser.add_argument("--scale", type=float, default=1.0, help="times times this")
    options = parser.parse_args()
    sizes = [each for each in SIZES if each <= options.most]
    print(report.machine())
    with tempfile.TemporaryDirectory(prefix="scale-", dir="/var/tmp") as name:
        bench = Bench(Path(name), options.scale)
        heads = ("processors", "start s", "start CPU s")
        _table((*heads, "MB", "MB each more", "idle CPU %"))
        _sizes(bench, sizes)
        _table(("processors", "jobs", "max_demand", "jobs/s", "CPU us/job"))
        for size in filter(FED.__ge__, sizes):
            _feed(bench, size)
        _table(("joined", "jobs", "max_demand", "jobs/s", "CPU us/job"))
        for size in sizes[:2]:
            _feed_elsewhere(bench, size)
    return 0


def _table(heads: tuple[str, ...]) -> None:
    print()
    _row(*heads)
    print("|" + "---|" * len(heads))


def _row(*cells: Any) -> None:
    shown = (f"{each:.4g}" if isinstance(each, float) else str(each) for each in cells)
    print(f"| {' | '.join(shown)} |", flush=True)


def _sizes(bench: Bench, sizes: list[int]) -> None:
    before: tuple[int, float] | None = None
    for size in sizes:
        first = min(size, AT_ONCE)
        with System(bench, processors=first, fetch="benchmarks.jobs:nothing") as system:
            _wait_for(system, first)
            for at in range(first, size, ATTACHED):
                count = min(ATTACHED, size - at)
                system.ask({"verb": "attach", "count": count})
            _wait_for(system, size)
            start_s = time.monotonic() - system.began
            pids = system.pids()
            start_cpu_s = proc.cpu_s(pids)
            time.sleep(bench.seconds(3.0))
            memory = proc.pss_mb(pids)
            cpu, began = proc.cpu_s(pids), time.monotonic()
            time.sleep(bench.seconds(IDLE_S))
            idle = (proc.cpu_s(pids) - cpu) / (time.monotonic() - began) * 100
        each = (memory - before[1]) / (size - before[0]) if before else ""
        before = (size, memory)
        _row(size, start_s, start_cpu_s, memory, each, idle)


def _wait_for(system: System, size: int) -> None:
    # To ask them all costs them time as well: the more there are, the seldomer.
    end = time.monotonic() + START_WITHIN_S
    while len(_running(system)) < size:
        if time.monotonic() > end:
            raise MeasureError(f"{size} processors are not ready")
        time.sleep(0.02 + size / 500)


def _running(system: System) -> list[Any]:
    processors = system.status()["processors"]
    return [each for each in processors if each["state"] == "running"]


WORK = (
    ("trivial", 1, {}),
    ("trivial", "auto", {"max_demand": "auto"}),
    (
        f"waits {JOB_S * 1000:g} ms",
        1,
        {
            "fetch": "benchmarks.jobs:lasting",
            "fetch_options": {"job_s": JOB_S},
            "process": "benchmarks.jobs:last",
        },
    ),
)


def _feed(bench: Bench, size: int) -> None:
    for what, demand, settings in WORK:
        with System(bench, processors=size, **settings) as system:
            found = steady(bench, "rate", system)
        _row(size, what, demand, found["rate"], found["rate_cpu"])


def _feed_elsewhere(bench: Bench, size: int) -> None:
    for what, demand, settings in WORK:
        gate = f"127.0.0.1:{free_port()}"
        os.environ["CLUSTER_KEY_FILE"] = str(_key_file(bench))
        system = System(
            bench,
            processors=0,
            bind=gate,
            cluster_key_file=os.environ["CLUSTER_KEY_FILE"],
            **settings,
        )
        with system, _member(bench, gate, size) as pid:
            found = _steady_with(bench, system, pid)
        _row(size, what, demand, *found)


def _steady_with(bench: Bench, system: System, member: int) -> tuple[float, float]:
    system.wait_until_done(1, START_WITHIN_S)
    pids = proc.descendants(member)
    time.sleep(bench.seconds(1.0))
    cpu, began, before = proc.cpu_s(pids), time.monotonic(), system.done()
    found = steady(bench, "rate", system)
    count, took_s = system.done() - before, time.monotonic() - began
    there = (proc.cpu_s(pids) - cpu) / max(1, count) * 1e6
    return count / took_s, found["rate_cpu"] + there


def _key_file(bench: Bench) -> Path:
    path = bench.directory / "key"
    if not path.exists():
        path.touch(0o600)
        path.write_text(KEY)
    return path


@contextlib.contextmanager
def _member(bench: Bench, gate: str, size: int) -> Iterator[int]:
    environment = os.environ | {
        "LOWTIDE_STATE_DIR": str(bench.directory / "member"),
        "BENCH_NOTES": str(bench.directory),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "scripts"))),
    }
    words = ["join", gate, "--processors", str(size), "--log-level", "warning"]
    words += ["--cluster-key-file", str(_key_file(bench))]
    member = subprocess.Popen(
        [sys.executable, "-m", "actors.main", *words],
        env=environment,
        stderr=subprocess.DEVNULL,
        cwd=bench.directory,
    )
    try:
        yield member.pid
    finally:
        pids = proc.descendants(member.pid)
        member.kill()
        member.wait()
        if not proc.gone(pids, 10.0):
            raise MeasureError("processes of the member are left")


if __name__ == "__main__":
    sys.exit(main())

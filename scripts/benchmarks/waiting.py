"""Slow jobs and a pile of them: how much is out, and how much memory it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import proc
from benchmarks.journals import put_journal
from benchmarks.model import Measurement
from benchmarks.system import System

if TYPE_CHECKING:
    from benchmarks.model import Bench, Numbers

MAX_DEMAND = 100
PROCESSORS = 2
MEASURE_S = 3.0
LOOK_S = 0.05


def in_flight(bench: Bench) -> Numbers:
    """The most jobs that were out at a time, by either side's account."""
    most = 0
    with _slow_system(bench, bench.count(200_000)) as system:
        system.wait_until_done(1, 60)
        end = time.monotonic() + bench.seconds(MEASURE_S)
        while time.monotonic() < end:
            status = system.status()
            held = sum(each["in_flight"] for each in status["processors"])
            most = max(most, held, status["accounting"]["in_flight"])
            time.sleep(LOOK_S)
    return {"in_flight": most, "max_demand_sum": MAX_DEMAND * PROCESSORS}


def memory(bench: Bench) -> Numbers:
    """The fetcher's memory at its most, with many waiting and with very many."""
    return {
        "waiting_memory": _fetcher_mb(bench, bench.count(1_000_000)),
        "waiting_memory_10k": _fetcher_mb(bench, bench.count(10_000)),
    }


def _fetcher_mb(bench: Bench, count: int) -> float:
    with _slow_system(bench, count) as system:
        system.wait_until_done(1, 60)
        pid = system.status()["fetchers"][0]["pid"]
        end = time.monotonic() + bench.seconds(MEASURE_S)
        most = 0.0
        while time.monotonic() < end:
            most = max(most, proc.pss_mb([pid]))
            time.sleep(LOOK_S)
    return most


def _slow_system(bench: Bench, count: int) -> System:
    system = System(
        bench,
        fetch="benchmarks.jobs:nothing",
        process="benchmarks.jobs:slow",
        processors=PROCESSORS,
        max_demand=MAX_DEMAND,
    )
    put_journal(bench, system.journal, count)
    return system


MEASUREMENTS = (
    Measurement("in_flight", ("in_flight", "max_demand_sum"), in_flight, most=1),
    Measurement(
        "waiting_memory", ("waiting_memory", "waiting_memory_10k"), memory, most=1
    ),
)

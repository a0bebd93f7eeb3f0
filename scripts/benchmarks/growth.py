"""What a job costs as the system grows: more processors, and more that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.journals import put_journal
from benchmarks.model import Measurement
from benchmarks.system import System
from benchmarks.throughput import rate, steady

if TYPE_CHECKING:
    from benchmarks.model import Bench, Numbers

PROCESSORS = (1, 32)
#: The same for few and many, so that messages are the same too.
MAX_DEMAND = 5
FEW = 10


def processors(bench: Bench) -> Numbers:
    """CPU microseconds a job, of all processes, by the number of processors."""
    numbers = {}
    for count in PROCESSORS:
        came = rate(bench, "rate", processors=count, max_demand="auto")
        numbers[f"cost_{count}_processors"] = came["rate_cpu"]
    return numbers


def one_each(bench: Bench) -> Numbers:
    """Jobs a second of 10 ms, one at a time to each processor, and their CPU."""
    numbers: dict[str, float] = {}
    for count in (16, 64):
        settings = {"processors": count, "max_demand": 1}
        name = f"one_each_{count}"
        numbers |= rate(bench, name, process="benchmarks.jobs:ten_ms", **settings)
    return numbers


def buffered(bench: Bench) -> Numbers:
    """The same by the number of jobs in the buffer.

    In both cases each job comes from the source and goes through the journal; with
    many, so many are in memory from the beginning.
    """
    many = bench.count(1_000_000)
    with System(bench, buffer=FEW, max_demand=MAX_DEMAND) as system:
        few_cpu = steady(bench, "rate", system)["rate_cpu"]
    system = System(bench, buffer=many, max_demand=MAX_DEMAND)
    put_journal(bench, system.journal, many)
    with system:
        many_cpu = steady(bench, "rate", system)["rate_cpu"]
    return {"cost_10_buffered": few_cpu, "cost_1m_buffered": many_cpu}


MEASUREMENTS = (
    Measurement(
        "growth_processors",
        tuple(f"cost_{count}_processors" for count in PROCESSORS),
        processors,
        most=1,
    ),
    Measurement(
        "growth_one_each",
        ("one_each_16", "one_each_16_cpu", "one_each_64", "one_each_64_cpu"),
        one_each,
        most=2,
    ),
    Measurement(
        "growth_buffered", ("cost_10_buffered", "cost_1m_buffered"), buffered, most=1
    ),
)

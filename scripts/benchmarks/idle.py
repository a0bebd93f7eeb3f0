"""A system that polls a local server every two seconds and finds nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks import proc
from benchmarks.model import MeasureError, Measurement
from benchmarks.over_http import number_server
from benchmarks.system import System

if TYPE_CHECKING:
    from benchmarks.model import Bench, Numbers

#: Until the start is over and the first polls are done.
SETTLE_S = 3.0
#: Longer than the half minute after which something might stir.
MEASURE_S = 35.0
EVERY_S = 2.0
FURTHER = 8
GIVES = (
    "idle_cpu",
    "idle_wakes",
    "idle_memory",
    "idle_memory_with_main",
    "memory_further_processor",
)


def idle(bench: Bench) -> Numbers:
    """CPU, wake-ups and memory; then the memory of more processors."""
    with number_server(0) as url, _polling_system(bench, url) as system:
        roles = system.roles()
        time.sleep(bench.seconds(SETTLE_S, least=1.0))
        others = [pid for name, pid in roles.items() if name != "source"]
        cpu, wakes = proc.cpu_s(roles.values()), sum(map(proc.wakes, others))
        began = time.monotonic()
        time.sleep(bench.seconds(MEASURE_S, least=1.0))
        took_s = time.monotonic() - began
        cpu = proc.cpu_s(roles.values()) - cpu
        wakes = sum(map(proc.wakes, others)) - wakes
        told = [pid for name, pid in roles.items() if name != "main"]
        memory, with_main = proc.pss_mb(told), proc.pss_mb(roles.values())
        return {
            "idle_cpu": cpu / took_s * 100,
            "idle_wakes": wakes,
            "idle_memory": memory,
            "idle_memory_with_main": with_main,
            "memory_further_processor": _further_mb(system, with_main),
        }


def _further_mb(system: System, before_mb: float) -> float:
    # Of everything: what a new one shares makes the shares of the others smaller.
    answer = system.ask({"verb": "attach", "count": FURTHER})
    if "error" in answer:
        raise MeasureError(f"attach: {answer['error']}")
    return (proc.pss_mb(system.roles().values()) - before_mb) / FURTHER


def _polling_system(bench: Bench, url: str) -> System:
    return System(
        bench,
        fetch="domain.numbers:fetch",
        fetch_options={"url": url},
        process="domain.numbers:process",
        every_s=EVERY_S,
    )


MEASUREMENTS = (Measurement("idle", GIVES, idle, most=1),)

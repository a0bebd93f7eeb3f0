"""How many trivial jobs a second go all the way: fetched, kept, run, done."""

from __future__ import annotations

import importlib.util
import io
import statistics
import subprocess
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import proc
from benchmarks.collector import Collector
from benchmarks.model import ROOT, MeasureError, Measurement
from benchmarks.system import System

if TYPE_CHECKING:
    from benchmarks.model import Bench, Numbers

#: Before the measuring: windows grow, connections are made.
WARM_UP_S = 1.0
MEASURE_S = 3.0


def rate(bench: Bench, name: str, **settings: Any) -> Numbers:
    """Jobs done a second in a steady state, and CPU microseconds a job.

    The source never runs dry. What is counted is the fetcher's own account of jobs
    that are done, which it writes after the outcome is kept.
    """
    with System(bench, **settings) as system:
        return steady(bench, name, system)


def steady(
    bench: Bench, name: str, system: System, seconds: float = MEASURE_S
) -> Numbers:
    """The same, of a system that runs already."""
    system.wait_until_done(1, 60)
    time.sleep(bench.seconds(WARM_UP_S))
    pids = system.pids()
    before, cpu, began = system.done(), proc.cpu_s(pids), time.monotonic()
    time.sleep(bench.seconds(seconds))
    count, took_s = system.done() - before, time.monotonic() - began
    cpu = proc.cpu_s(pids) - cpu
    return {name: count / took_s, f"{name}_cpu": cpu / max(1, count) * 1e6}


def _measurement(name: str, **settings: Any) -> Measurement:
    measure = partial(rate, name=name, **settings)
    return Measurement(name, (name, f"{name}_cpu"), measure)


#: Jobs of 100 KiB.
LARGE = 1000


#: The state that "beside 68e2606" means, of this repository.
FORMER = "68e2606"


def former(bench: Bench) -> Numbers:
    """Jobs of 1 KiB a second by an earlier state of lowtide."""
    with tempfile.TemporaryDirectory(dir=bench.directory) as name:
        words = ["git", "-C", str(ROOT), "archive", "--format=tar", FORMER, "actors"]
        packed = subprocess.run(words, capture_output=True, check=False)
        if packed.returncode:
            error = packed.stderr.decode(errors="replace").strip()
            raise MeasureError(f"{FORMER} is not here: {error}")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as packed_files:
            # Its filters are newer than Debian 12's Python; this is our own history.
            packed_files.extractall(name)  # noqa: S202
        settings = {"max_demand": "auto", "fetch": "benchmarks.jobs:padded"}
        numbers = rate(bench, "former_1kib", **settings, root=Path(name))
    return {"former_1kib": numbers["former_1kib"]}


def large(bench: Bench) -> Numbers:
    """Seconds until all of them are done, and the fetcher's memory at its most."""
    runs = [_large(bench) for _ in range(bench.count(10, least=1))]
    times = [took_s for took_s, _ in runs]
    return {
        "large": statistics.median(times),
        "large_slowest": max(times),
        "large_memory": max(memory for _, memory in runs),
    }


def _large(bench: Bench) -> tuple[float, float]:
    count = bench.count(LARGE)
    settings = {"fetch": "benchmarks.jobs:large", "fetch_options": {"count": count}}
    with System(bench, max_demand="auto", **settings) as system:
        source = system.roles()["source"]
        first = system.wait_for_log("job.fetched")
        system.wait_until_done(count, 120)
        return time.monotonic() - first, proc.peak_mb(source)


def observed(bench: Bench) -> Numbers:
    """Jobs a second with a hook, traces and results, and of a system without.

    One after the other: what disturbs the machine for a while meets both.
    """
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise MeasureError("needs OpenTelemetry: pip install 'lowtide[otel]'")
    hooks = {"all": ["benchmarks.jobs:heard", "actors.hooks.otel:tell"]}
    with Collector() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with_all = rate(
            bench, "observed", max_demand="auto", hooks=hooks, environ=environ
        )
    without = rate(bench, "unobserved", max_demand="auto", keep_s="none")
    return {**with_all, **without}


MEASUREMENTS = (
    Measurement(
        "observed",
        ("observed", "observed_cpu", "unobserved", "unobserved_cpu"),
        observed,
    ),
    _measurement("throughput_auto_memory", max_demand="auto", journal="none"),
    _measurement("throughput_auto_journal", max_demand="auto"),
    _measurement(
        "throughput_auto_journal_warning", max_demand="auto", log_level="warning"
    ),
    _measurement(
        "throughput_auto_journal_1kib",
        max_demand="auto",
        fetch="benchmarks.jobs:padded",
    ),
    _measurement(
        "throughput_one_a_call", max_demand="auto", fetch="benchmarks.jobs:one"
    ),
    Measurement("former_1kib", ("former_1kib",), former, most=2),
    Measurement("large", ("large", "large_slowest", "large_memory"), large, most=1),
    _measurement(
        "throughput_auto_journal_own_ids",
        max_demand="auto",
        fetch="benchmarks.jobs:endless_named",
    ),
    _measurement("throughput_1_journal", max_demand=1),
)

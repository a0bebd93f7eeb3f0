"""From the command to the first job that is done: fresh, and with a pile left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.journals import put_journal
from benchmarks.model import Measurement
from benchmarks.system import System

if TYPE_CHECKING:
    from benchmarks.model import Bench, Numbers

FEW, MANY = 2, 18


def start(bench: Bench) -> Numbers:
    """Seconds to the log's ``job.done``, and milliseconds for a further processor.

    A system begins to poll when all its processors have started, so the difference
    between many and few is what they cost.
    """
    few, many = _start_s(bench, FEW), _start_s(bench, MANY)
    return {"start": few, "start_further": (many - few) / (MANY - FEW) * 1000}


def restart(bench: Bench) -> Numbers:
    """Seconds to the first ``job.done`` with a million jobs in the journal."""
    system = System(bench, fetch="benchmarks.jobs:nothing", log_level="info")
    put_journal(bench, system.journal, bench.count(1_000_000))
    with system:
        return {"restart": system.wait_for_log("job.done", 60) - system.began}


def _start_s(bench: Bench, processors: int) -> float:
    source = {"fetch": "benchmarks.jobs:limited", "fetch_options": {"count": 1}}
    settings = {"processors": processors, "log_level": "info"}
    with System(bench, **source, **settings) as system:
        return system.wait_for_log("job.done") - system.began


MEASUREMENTS = (
    Measurement("start", ("start", "start_further"), start),
    Measurement("restart", ("restart",), restart, most=1),
)

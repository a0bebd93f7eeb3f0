"""How soon: a job that comes into the quiet, and the next one of a full buffer."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.jobs import notes
from benchmarks.model import MeasureError, Measurement
from benchmarks.system import System

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.model import Bench, Numbers

EVERY_S = 0.05
#: Jobs at the beginning that are not counted: the first ones of each process.
WARM_UP = 10


def pick_up(bench: Bench) -> Numbers:
    """Milliseconds from fetched to begun, of a job that comes every 50 ms.

    *Fetched* is when ``fetch`` returned it; until it begins, it is committed to the
    journal and synced to the disk, sent, and handed to the processor's thread.
    """
    count = bench.count(200, least=20)
    source = {"fetch": "benchmarks.jobs:paced", "fetch_options": {"every_s": EVERY_S}}
    with System(bench, process="benchmarks.jobs:picked_up", **source) as system:
        system.wait_until_done(1, 30)
        time.sleep((count + WARM_UP) * EVERY_S)
        system.wait_until_done(count + WARM_UP, 30)
        waits = [each for each in _waits(system) if each[0] > WARM_UP]
    times = _milliseconds(wait for _, wait in waits)
    return {"pick_up": statistics.median(times), "pick_up_99": _late(times)}


def delivery(bench: Bench, name: str, journal: str | None = None) -> Numbers:
    """Milliseconds from the end of a job to the begin of the next one.

    Demand goes out with the outcome of a job. The jobs take 20 ms each, so that
    neither fetcher nor processor has anything else to do; all of them are in the
    buffer from the beginning.
    """
    count = bench.count(200, least=20)
    settings = {"journal": journal} if journal else {}
    source = {"fetch": "benchmarks.jobs:limited", "fetch_options": {"count": count}}
    with System(
        bench, process="benchmarks.jobs:spaced", **source, **settings
    ) as system:
        system.wait_until_done(count, 60)
        times = _milliseconds(wait for key, wait in _waits(system) if key > WARM_UP)
    return {name: statistics.median(times)}


def _waits(system: System) -> Iterable[tuple[int, float]]:
    for each in notes(system.notes).values():
        for note in each:
            yield note.number, note.second - note.first


def _milliseconds(waits: Iterable[float]) -> list[float]:
    times = [wait * 1000 for wait in waits]
    if len(times) < 2:  # noqa: PLR2004 - what quantiles take
        raise MeasureError("no job was noted")
    return times


def _late(times: list[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[98]


MEASUREMENTS = (
    Measurement("pick_up", ("pick_up", "pick_up_99"), pick_up),
    Measurement("delivery", ("delivery",), lambda bench: delivery(bench, "delivery")),
    Measurement(
        "delivery_memory",
        ("delivery_memory",),
        lambda bench: delivery(bench, "delivery_memory", "none"),
    ),
)

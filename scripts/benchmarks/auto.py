"""``max_demand = "auto"`` beside fixed windows, and whether it makes a job wait."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import jobs
from benchmarks.model import MeasureError, Measurement
from benchmarks.system import System
from benchmarks.throughput import steady

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.model import Bench, Numbers

FIXED = (1, 30, 1000)
MEASURE_S = 1.5
#: Without a journal: what syncing costs is the same for all windows, and would hide
#: the difference.
COMMON = {"process": "benchmarks.jobs:last", "journal": "none"}
KINDS: dict[str, dict[str, Any]] = {
    "10us": {
        "fetch": "benchmarks.jobs:lasting_pages",
        "fetch_options": {"job_s": 10e-6},
        "buffer": 10_000,
    },
    "1ms": {"fetch": "benchmarks.jobs:lasting", "fetch_options": {"job_s": 1e-3}},
    "50ms": {"fetch": "benchmarks.jobs:lasting", "fetch_options": {"job_s": 50e-3}},
    "mix": {"fetch": "benchmarks.jobs:mixed_pages"},
    "mix_one": {"fetch": "benchmarks.jobs:mixed"},
}
#: By chance they differ more than the others.
MIXED = ("mix",)


def against_fixed(bench: Bench, kind: str) -> Numbers:
    """Jobs a second with ``auto``, and with the best fixed window."""
    name = f"auto_{kind}"
    rates = {
        window: _rate(bench, kind, max_demand=window) for window in ("auto", *FIXED)
    }
    best = max(rates[window] for window in FIXED)
    return {name: rates["auto"], f"{name}_fixed": best}


def _rate(bench: Bench, kind: str, **settings: Any) -> float:
    with System(bench, **COMMON, **KINDS[kind], **settings) as system:
        return steady(bench, "rate", system, MEASURE_S)["rate"]


def kept_waiting(bench: Bench) -> Numbers:
    """Milliseconds that a job waited, at most, while a processor had nothing to do.

    Jobs are short for a while, so that the window grows, then long. A job that was
    fetched and had not begun, while another processor was idle, waited in the wrong
    place: behind another one, or in the fetcher.
    """
    count = sum(count for count, _ in jobs.STRETCHES)
    settings = {"fetch": "benchmarks.jobs:stretches", "buffer": count}
    settings |= {"process": "benchmarks.jobs:last_noted", "journal": "none"}
    with System(bench, max_demand="auto", **settings) as system:
        system.wait_until_done(count, 60)
        notes = list(jobs.notes(system.notes).values())
    if len(notes) < 2:  # noqa: PLR2004 - the two processors
        raise MeasureError("one processor did all jobs")
    return {"auto_kept_waiting": longest_wait(notes) * 1000}


def longest_wait(notes: Iterable[list[jobs.Note]]) -> float:
    """Of the jobs of each processor, while another one was idle; in seconds."""
    sides = [sorted(each, key=lambda note: note.second) for each in notes]
    end = max(note.third for each in sides for note in each)
    waits = (
        min(until, note.second) - max(since, note.first)
        for mine, others in itertools.permutations(sides, 2)
        for since, until in _gaps(others, end)
        for note in mine
    )
    return max(0.0, max(waits, default=0.0))


def _gaps(notes: list[jobs.Note], end: float) -> Iterator[tuple[float, float]]:
    begins = [note.second for note in notes[1:]] + [end]
    for note, until in zip(notes, begins, strict=True):
        if until - note.third > GAP_S:
            yield note.third, until


#: Shorter ones are of no interest here.
GAP_S = 0.005

MEASUREMENTS = (
    *(
        Measurement(
            f"auto_{kind}",
            (f"auto_{kind}", f"auto_{kind}_fixed"),
            partial(against_fixed, kind=kind),
            most=None if kind in MIXED else 1,
        )
        for kind in KINDS
    ),
    Measurement("auto_kept_waiting", ("auto_kept_waiting",), kept_waiting),
)

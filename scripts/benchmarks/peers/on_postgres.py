"""Jobs a second with PostgreSQL: our journal there, and procrastinate beside it.

Both have the same server, which syncs each commit, and two processes that do jobs.
"""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.host.ports import free_port
from benchmarks.environment import SkippedError
from benchmarks.model import ROOT, Measurement, Row, ratio_at_least
from benchmarks.peers.catalogue import PROCRASTINATE
from benchmarks.peers.measure import running, steady
from benchmarks.throughput import rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.model import Bench, Numbers

#: The better one of the ways to enqueue.
BEST = "best_procrastinate"
_WAYS = {
    "one": ("peer_procrastinate_synced", "all the way"),
    "bulk": ("peer_procrastinate_bulk", "a thousand jobs enqueued at a time"),
}


@contextlib.contextmanager
def _server() -> Iterator[str]:
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from tests.support import postgres  # noqa: PLC0415 - with pytest

    if (reason := postgres.missing()) is not None:
        raise SkippedError(f"skipped: {reason}")
    server = postgres.Server(free_port(), syncs=True)
    try:
        yield server.url()
    finally:
        server.remove()


def ours(bench: Bench, name: str, **settings: Any) -> Numbers:
    """What a system does whose journal is there."""
    with _server() as url:
        return rate(bench, name, journal=url, **settings)


def theirs(bench: Bench) -> Numbers:
    """What procrastinate does, by each way to enqueue."""
    rates = {}
    for source, (name, _) in _WAYS.items():
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(_server())
            run = running(stack, bench, PROCRASTINATE, url, source)
            rates[name] = steady(bench, run)
    return rates | {BEST: max(rates.values())}


def _ours(name: str, **settings: Any) -> Measurement:
    measure = partial(ours, name=name, **settings)
    return Measurement(name, (name, f"{name}_cpu"), measure, peers=True)


MEASUREMENTS = (
    _ours("postgres_1", max_demand=1),
    _ours("postgres_auto", max_demand="auto"),
    Measurement(
        "peer_procrastinate",
        (BEST, *(name for name, _ in _WAYS.values())),
        theirs,
        peers=True,
        most=2,
    ),
)
ROWS = (
    *(
        Row(
            f"throughput_{name}_vs_procrastinate",
            f"throughput, {text}, journal in PostgreSQL, beside procrastinate there",
            name,
            "jobs/s",
            BEST,
            ratio_at_least(2),
            note="at least once; synced to the disk before it is sent",
        )
        for name, text in (("postgres_1", "max_demand 1"), ("postgres_auto", "auto"))
    ),
    *(
        Row(
            name,
            f"{PROCRASTINATE.configuration}: {way}",
            name,
            "jobs/s",
            note=PROCRASTINATE.promise,
        )
        for name, way in _WAYS.values()
    ),
)

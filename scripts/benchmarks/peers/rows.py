"""The rows of the peers, and what lowtide's figures are to them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.model import Row, ratio_at_least
from benchmarks.peers.catalogue import PEERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The numbers that are made of others: the best of all as they come, and of those
#: that lose no job to a crash of a worker, with a Redis that loses none to its own.
BEST, BEST_SAFE = "best_peer", "best_safe_peer"
#: The same in bulk, as lowtide's own jobs travel.
BEST_BULK = "best_safe_peer_bulk"
#: Of the numbers below, in the order of the table.
WAYS = {
    "": "all the way",
    "_synced": "all the way, Redis syncs each write",
    "_bulk": "a thousand jobs a task, Redis syncs each write",
}

PEER_ROWS = tuple(
    Row(
        f"peer_{peer.name}{end}",
        f"{peer.configuration}: {way}",
        f"peer_{peer.name}{end}",
        "jobs/s",
        note=peer.promise,
    )
    for peer in PEERS
    for end, way in WAYS.items()
)

BESIDE_PEERS = (
    Row(
        "throughput_auto_journal_vs_best_peer",
        "throughput, auto, journal, beside the best peer",
        "throughput_auto_journal",
        "jobs/s",
        BEST,
        ratio_at_least(20),
    ),
    Row(
        "throughput_auto_journal_vs_best_safe_peer",
        "the same, beside the best that loses no job either",
        "throughput_auto_journal",
        "jobs/s",
        BEST_SAFE,
    ),
    Row(
        "throughput_auto_journal_vs_best_safe_peer_bulk",
        "the same, beside the best of these with a thousand jobs a task",
        "throughput_auto_journal",
        "jobs/s",
        BEST_BULK,
    ),
    Row(
        "main_job_http_vs_huey",
        "main job over HTTP, defaults, beside requests + huey, Redis synced",
        "main_job_http",
        "jobs/s",
        "peer_huey_http",
        ratio_at_least(1.2),
    ),
    Row(
        "throughput_one_a_call_vs_best_safe_peer",
        "one job a call, auto, journal, beside the best that loses no job either",
        "throughput_one_a_call",
        "jobs/s",
        BEST_SAFE,
        ratio_at_least(1.5),
    ),
    *(
        Row(
            f"throughput_1_journal_vs_{name}",
            f"throughput, max_demand 1, journal, beside {text}",
            "throughput_1_journal",
            "jobs/s",
            f"peer_{name}",
            ratio_at_least(1),
        )
        for name, text in (("celery", "Celery"), ("rq", "RQ"))
    ),
)


def best_peers(numbers: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The best medians of those that were measured."""
    fastest = [f"peer_{peer.name}" for peer in PEERS]
    safe = [f"peer_{peer.name}_synced" for peer in PEERS if peer.is_safe]
    bulk = [f"peer_{peer.name}_bulk" for peer in PEERS if peer.is_safe]
    best = {}
    for name, candidates in ((BEST, fastest), (BEST_SAFE, safe), (BEST_BULK, bulk)):
        measured = [numbers[each] for each in candidates if numbers.get(each)]
        if measured:
            best[name] = [max(map(statistics.median, measured))]
    return best

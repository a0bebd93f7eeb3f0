"""The rows of the peers, and what lowtide's figures are to them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.model import Row, ratio_at_least
from benchmarks.peers.catalogue import PEERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The number that is made of others.
BEST = "best_peer"
#: Of the numbers below, in the order of the table.
WAYS = {
    "": "all the way",
    "_synced": "all the way, Redis syncs each write",
    "_full": "from a full queue",
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


def best_peer(numbers: Mapping[str, Sequence[float]]) -> list[float]:
    """The best median of those that were measured, all the way; at most one."""
    names = [f"peer_{peer.name}" for peer in PEERS]
    medians = [statistics.median(numbers[name]) for name in names if numbers.get(name)]
    return [max(medians)] if medians else []

"""RQ: two workers as they come, which fork for each job; results are not kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from redis import Redis
from rq import Queue

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable


def root(job: Any) -> float:
    """The trivial job."""
    return work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; in bulk they come as lists."""
    queue = Queue("bench", connection=Redis.from_url(os.environ["BENCH_BROKER"]))
    for job in source:
        queue.enqueue(root, job, result_ttl=0)

"""Dramatiq: two processes, the rest as it comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


@dramatiq.actor
def root(job: Any) -> None:
    """The trivial job."""
    counts.add()
    jobs.root(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, one a task."""
    for job in source:
        root.send(job)

"""Dramatiq: jobs that wait, in threads of one process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_BROKER"]))


@dramatiq.actor
def waits(job: Any) -> None:
    """The waiting job."""
    jobs.waits(job)
    counts.add()


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, one a task."""
    for job in source:
        waits.send(job)

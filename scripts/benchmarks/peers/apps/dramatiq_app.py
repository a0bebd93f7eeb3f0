"""Dramatiq: two processes, the rest as it comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_BROKER"]))


@dramatiq.actor
def root(job: Any) -> None:
    """The trivial job."""
    work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; in bulk they come as lists."""
    for job in source:
        root.send(job)

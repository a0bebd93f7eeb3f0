"""Huey: two worker processes, the rest as it comes; results are not kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from huey import RedisHuey

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

huey = RedisHuey("bench", url=os.environ["BENCH_BROKER"], results=False)


@huey.task()
def root(job: Any) -> float:
    """The trivial job."""
    return work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; in bulk they come as lists."""
    for job in source:
        root(job)

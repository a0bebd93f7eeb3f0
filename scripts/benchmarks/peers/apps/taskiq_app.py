"""Taskiq: two worker processes, the rest as it comes; results are not kept.

``BENCH_TASKIQ`` says which of its two brokers: ``list`` or ``stream``.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

_brokers = {"list": ListQueueBroker, "stream": RedisStreamBroker}
broker = _brokers[os.environ["BENCH_TASKIQ"]](url=os.environ["BENCH_BROKER"])


@broker.task
async def root(job: Any) -> float:
    """The trivial job."""
    return work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; in bulk they come as lists."""
    asyncio.run(_produce(source))


async def _produce(source: Iterable[Any]) -> None:
    await broker.startup()
    for job in source:
        await root.kiq(job)
    await broker.shutdown()

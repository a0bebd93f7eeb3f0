"""Taskiq with a stream: jobs that wait, on the event loop of one process."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from taskiq_redis import RedisStreamBroker

from benchmarks import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

broker = RedisStreamBroker(url=os.environ["BENCH_BROKER"])


@broker.task
async def waits(job: dict[str, Any]) -> None:
    """The waiting job."""
    await jobs.waits_later(job)
    counts.add()


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, one a task."""
    asyncio.run(_produce(source))


async def _produce(source: Iterable[Any]) -> None:
    await broker.startup()
    for job in source:
        await waits.kiq(job)
    await broker.shutdown()

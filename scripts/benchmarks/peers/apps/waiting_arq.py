"""Arq: jobs that wait, on the event loop of one process; results are not kept."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

_redis = RedisSettings.from_dsn(os.environ["BENCH_BROKER"])


async def waits(_: Any, job: dict[str, Any]) -> None:
    """The waiting job."""
    await jobs.waits_later(job)
    counts.add()


class WorkerSettings:
    """As arq reads them."""

    functions = (waits,)
    redis_settings = _redis
    max_jobs = 100
    keep_result = 0


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, one a task."""
    asyncio.run(_produce(source))


async def _produce(source: Iterable[Any]) -> None:
    pool = await create_pool(_redis)
    for job in source:
        await pool.enqueue_job("waits", job)

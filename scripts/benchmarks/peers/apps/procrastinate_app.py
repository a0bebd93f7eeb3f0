"""Procrastinate: two worker processes, the rest as it comes; jobs stay when done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import procrastinate

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_BROKER"])
)


@app.task(queue="bench")
async def root(job: Any) -> float:
    """The trivial job."""
    return work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; lists of them by one statement each."""
    with app.open():
        for job in source:
            if isinstance(job, list):
                root.batch_defer(*({"job": each} for each in job))
            else:
                root.defer(job=job)

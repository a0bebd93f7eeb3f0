"""Celery: prefork, two processes, the rest as it comes; results are not kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery

from benchmarks.peers.work import work

if TYPE_CHECKING:
    from collections.abc import Iterable

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task
def root(job: Any) -> float:
    """The trivial job."""
    return work(job)


def produce(source: Iterable[Any]) -> None:
    """Enqueue jobs, each a task; in bulk they come as lists."""
    for job in source:
        root.delay(job)

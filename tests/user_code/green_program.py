"""A program whose threads are green before it imports anything else."""
# ruff: noqa: E402

from __future__ import annotations

import importlib
import sys

_LIBRARY, _WAY, _JOURNAL = sys.argv[1:]
if _LIBRARY == "gevent":
    importlib.import_module("gevent.monkey").patch_all()
else:
    importlib.import_module("eventlet").monkey_patch()

import time
from typing import Any

from actors import Fetcher, Pipeline, Processor

JOBS = 3


def fetch() -> Any:
    """Hand out jobs, once."""
    if not fetch.__dict__.get("done"):
        fetch.__dict__["done"] = True
        yield from ({"id": number} for number in range(1, JOBS + 1))


def process(job: Any) -> Any:
    """Wait in the library's way."""
    time.sleep(0.01)
    return job["id"]


def told(event: Any) -> None:
    """Print what happened."""
    print("told", event["job_id"], flush=True)


if __name__ == "__main__":
    pipeline = Pipeline(
        [Fetcher(fetch), Processor(process)],
        on_done=told,
        port=0,
        journal=_JOURNAL,
        until_idle_s=1,
    )
    if _WAY == "run":
        pipeline.run()
    else:
        pipeline.start()
        pipeline.wait()
    print("ended", flush=True)

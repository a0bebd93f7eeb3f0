"""Job functions that wait, as they are imported where threads are green."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

JOBS = 6


def fetch() -> Any:
    """Hand out jobs, once."""
    if not fetch.__dict__.get("done"):
        fetch.__dict__["done"] = True
        yield from ({"id": number} for number in range(1, JOBS + 1))


def process(job: Any) -> Any:
    """Wait in the library's way, for others of its own as well."""
    helped: list[int] = []
    helper = threading.Thread(target=helped.append, args=(job["id"],))
    helper.start()
    time.sleep(0.01)
    helper.join()
    return helped


async def process_async(job: Any) -> Any:
    """Wait on the event loop."""
    await asyncio.sleep(0.01)
    return [job["id"]]


def note(event: Any) -> None:
    """Print what happened, in the process of hooks."""
    print("hook", event["event"], event["job_id"], flush=True)

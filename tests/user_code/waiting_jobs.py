"""A source with a `while_waiting` that has it done never, or late."""

from __future__ import annotations

import threading
from typing import Any

ONE = {"id": 1}
_given: list[Any] = []


def fetch(way: str) -> Any:
    """Hand out one job, then hang, or do what was left and hang."""
    if not fetch.__dict__.get("asked"):
        fetch.__dict__["asked"] = True
        return ONE
    if way == "late":
        thread = threading.Thread(target=_given[-1])
        thread.start()
        thread.join()
    threading.Event().wait()
    return None


def while_waiting(work: Any) -> None:
    """Note it."""
    _given.append(work)


def process(job: Any) -> Any:
    """Say that it was run."""
    return job["id"]

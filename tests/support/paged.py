"""A source that is asked by a position: ``PAGED_SIZE`` names a file with its size."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = 7


def _page(at: int) -> list[dict[str, int]]:
    size = int(Path(os.environ["PAGED_SIZE"]).read_text())
    # Without ids: nothing but the state tells what came before.
    return [{"number": each} for each in range(at, min(at + PAGE, size))]


def fetch(state: Any = None) -> Any:
    """The page after a position."""
    jobs = _page(state or 0)
    return jobs, (state or 0) + len(jobs)


def fetch_all(state: Any = None) -> Iterator[Any]:
    """Page after page from a position on."""
    at = state or 0
    while jobs := _page(at):
        at += len(jobs)
        yield jobs, at
        time.sleep(0.001)


def note(job: Any) -> Any:
    """Note that the job was begun."""
    line = f"{job['number']}\n".encode()
    effects = os.open(os.environ["TEST_EFFECTS"], os.O_WRONLY | os.O_APPEND)
    os.write(effects, line)
    os.close(effects)
    return job["number"]

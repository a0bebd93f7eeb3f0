"""A program: enqueue jobs of an app, so many, or for ever and never far ahead.

Arguments: the app's module, and how many (0: for ever).
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import counts, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As many as lowtide's fetcher holds before it stops fetching.
AHEAD = 1000
LOOK_EVERY = 100
LOOK_S = 0.005


def source(limit: int) -> Iterator[dict[str, Any]]:
    """Jobs; with no limit it waits when too many are enqueued and not done."""
    directory = Path(os.environ["BENCH_COUNTS"])
    source = itertools.chain.from_iterable(iter(jobs.endless, None))
    count = 0
    while not limit or count < limit:
        if not limit and count % LOOK_EVERY == 0:
            while count - counts.total(directory) > AHEAD:
                time.sleep(LOOK_S)
        yield next(source)
        count += 1


if __name__ == "__main__":
    app = importlib.import_module(f"benchmarks.peers.apps.{sys.argv[1]}")
    app.produce(source(int(sys.argv[2])))

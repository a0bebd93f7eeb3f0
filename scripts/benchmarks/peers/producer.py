"""A program: enqueue jobs of an app for ever, and never far ahead.

Argument: the app's module. In ``BENCH_SOURCE``: ``one`` job a task, ``bulk`` (lists
of a thousand), or the URL of a number server, whose numbers are asked for one by one.
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

OK = 200
#: As many as lowtide's fetcher holds before it stops fetching.
AHEAD = 1000
#: The same where a task has a thousand of them: two for each worker.
AHEAD_IN_BULK = 4 * jobs.PAGE
LOOK_EVERY = 100
LOOK_S = 0.005


def one_by_one() -> Iterator[dict[str, Any]]:
    """Jobs; it waits when too many are enqueued and not done."""
    source = itertools.chain.from_iterable(iter(jobs.endless, None))
    for count, job in enumerate(source):
        if count % LOOK_EVERY == 0:
            _wait(count, AHEAD)
        yield job


def in_bulk() -> Iterator[list[dict[str, Any]]]:
    """Lists of jobs, likewise."""
    for count in itertools.count(0, jobs.PAGE):
        _wait(count, AHEAD_IN_BULK)
        yield list(jobs.endless())


def over_http(url: str) -> Iterator[dict[str, Any]]:
    """The numbers of a server, until it has none."""
    import requests  # noqa: PLC0415 - in one environment only

    with requests.Session() as session:
        while (answer := session.get(f"{url}/number", timeout=5)).status_code == OK:
            yield answer.json()


def _wait(count: int, ahead: int) -> None:
    directory = Path(os.environ["BENCH_COUNTS"])
    while count - counts.total(directory) > ahead:
        time.sleep(LOOK_S)


if __name__ == "__main__":
    app = importlib.import_module(f"benchmarks.peers.apps.{sys.argv[1]}")
    named = {"one": one_by_one, "bulk": in_bulk}
    source = os.environ["BENCH_SOURCE"]
    app.produce(named[source]() if source in named else over_http(source))

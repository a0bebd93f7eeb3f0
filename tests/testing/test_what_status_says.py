"""What ``status`` says of each state that a system can be in, against what is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from actors.commands.control import describe
from actors.commands.top_view import View
from actors.status import reasons
from actors.testing import Harness

if TYPE_CHECKING:
    from actors.status.model import SystemStatus

Make = Callable[..., Harness]


@dataclass(frozen=True)
class State:
    """A state, how to come into it, and what is to be said of it.

    Attributes:
        name: For the test.
        enter: Makes a pipeline, and brings it there.
        fetcher: What the fetcher waits for.
        processor: What the first processor waits for, if there is one.
        why: The line that says why nothing moves.
    """

    name: str
    enter: Callable[[Make], Harness]
    fetcher: str
    processor: str | None
    why: str

    def __str__(self) -> str:
        """Its name."""
        return self.name


def jobs(count: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(1, count + 1)]


def fails(job: Any) -> None:
    raise ValueError(job)


def refuses() -> None:
    raise ConnectionError("no")


def pushed(line: Harness, count: int, seconds: float = 5) -> Harness:
    line.push(jobs(count))
    line.advance(seconds)
    return line


def told(line: Harness, *commands: dict[str, Any], seconds: float = 5) -> Harness:
    for command in commands:
        line.command(command)
    line.advance(seconds)
    return line


def gone(line: Harness, *names: str) -> Harness:
    for name in names:
        line.detach(name)
    return line


def draining(make: Make) -> Harness:
    line = pushed(make(processors=1, process_s=60.0), 3)
    line._world.command({"verb": "stop"})  # noqa: SLF001 - and do not wait for its end
    line.advance(1)
    return line


BROADCAST = {
    "fetcher": [{"name": "numbers", "dispatcher": "broadcast"}],
    "processor": [
        {"name": "sqrt", "process": "m:same", "count": 1},
        {"name": "report", "process": "m:same", "count": 1},
    ],
}
MANUAL = {
    "fetcher": [{"name": "numbers"}],
    "processor": [
        {"name": "send", "process": "m:same", "count": 1, "demand": "manual"}
    ],
}
SAME = {"m:same": lambda job: job}
PAUSE = {"verb": "pause", "names": [], "hold": False}

STATES = (
    State(
        "the source has none",
        lambda make: told(make()),
        reasons.JOBS,
        reasons.JOBS,
        r"source has no jobs: its source had none \d\.\d s ago",
    ),
    State(
        "a fetch that runs",
        lambda make: told(make(lambda: None, fetch_s=40.0), seconds=30),
        reasons.JOBS,
        reasons.JOBS,
        r"source has no jobs: it asked its source \d\d\.\d s ago and .*",
    ),
    State(
        "jobs that nobody takes",
        lambda make: pushed(make(processors=0), 3),
        reasons.DEMAND,
        None,
        "source has 3 jobs: there is no processor; lowtide attach adds one",
    ),
    State(
        "a full buffer",
        lambda make: pushed(make(processors=0, buffer=4), 9),
        reasons.ROOM,
        None,
        r"source is full \(4 of 4 jobs\), and polls again when 3 are left: there is "
        "no processor; lowtide attach adds one",
    ),
    State(
        "a buffer that is not empty enough yet",
        lambda make: pushed(
            make(processors=1, process_s=5.0, buffer=8, fetch_s=0.0), 20, seconds=7
        ),
        reasons.ROOM,
        "-",
        r"1 job in flight, 8 behind it; source is full \(8 of 8 jobs\), and polls "
        "again when 6 are left",
    ),
    State(
        "retries that take the room",
        lambda make: pushed(
            make(process=fails, processors=1, buffer=4, retries=9), 9, seconds=20
        ),
        reasons.ROOM,
        reasons.JOBS,
        r"source is full \(0 of 4 jobs, and 5 to be tried again\) and does not poll: "
        "no processor asks",
    ),
    State(
        "a rate limit",
        lambda make: pushed(make(rate_limit=2, rate_interval_s=20.0), 9),
        reasons.RATE,
        reasons.RATE,
        r"source has 7 jobs: at its rate limit, next in 1\d\.\d s",
    ),
    State(
        "a rate limit with a full buffer",
        lambda make: pushed(make(rate_limit=2, rate_interval_s=20.0, buffer=4), 9),
        reasons.ROOM,
        reasons.JOBS,
        r"source is full \(4 of 4 jobs\), and .*: at its rate limit, next in 1\d\.\d s",
    ),
    State(
        "fetching on demand only",
        lambda make: told(make(processors=0, on_demand=True)),
        reasons.DEMAND,
        None,
        "source fetches on demand only: there is no processor; .*",
    ),
    State(
        "a source that fails",
        lambda make: told(make(refuses), seconds=60),
        reasons.BACKOFF,
        reasons.BACKOFF,
        r"source tries again in \d+\.\d s: ConnectionError: no",
    ),
    State(
        "a pause",
        lambda make: told(make(), PAUSE),
        reasons.PAUSED,
        reasons.PAUSED,
        "source is paused; lowtide resume goes on",
    ),
    State(
        "a gate that is closed",
        lambda make: pushed(make(demand="accumulate"), 2),
        reasons.HOLD,
        reasons.HOLD,
        "source has 2 jobs: it accumulates; lowtide set source --demand forward .*",
    ),
    State(
        "a processor that is to be told",
        lambda make: pushed(make(config=MANUAL, functions=SAME), 2),
        reasons.DEMAND,
        reasons.ASK,
        "numbers has 2 jobs: send-1 asks on command; lowtide ask send-1 N does",
    ),
    State(
        "a broadcast of which one kind has no process",
        lambda make: pushed(
            gone(make(config=BROADCAST, functions=SAME), "report-1"), 3
        ),
        reasons.DEMAND,
        reasons.JOBS,
        "numbers has 3 jobs: 3 jobs for report, of which there is no processor; "
        "lowtide attach --processor report adds one",
    ),
    State(
        "work",
        lambda make: pushed(make(processors=1, process_s=60.0), 3),
        reasons.DEMAND,
        "-",
        "1 job in flight, 2 behind it",
    ),
    State(
        "a drain",
        draining,
        reasons.DRAIN,
        "-",
        r"draining: 1 in flight, 2 kept, \d\d\.\d s left; nothing is fetched any more",
    ),
)


def test_every_reason_is_in_the_table() -> None:
    # A route that is still to be found takes a function that never returns:
    # tests/status/test_summary.py. One by which a source is throttled: likewise.
    elsewhere = {reasons.ROUTE, reasons.THROTTLED}
    every = {
        value
        for name, value in vars(reasons).items()
        if name.isupper() and isinstance(value, str)
    }

    told = {each.fetcher for each in STATES} | {each.processor for each in STATES}

    assert every - elsewhere <= told


def test_every_reason_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    table = text.partition("A stage waits for one of:")[2].partition("\n\nWhere")[0]
    every = {value for name, value in vars(reasons).items() if name.isupper()}

    named = set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE))

    assert named == {each for each in every if isinstance(each, str)}


@pytest.mark.parametrize("state", STATES, ids=str)
def test_status_says_what_is(state: State, pipeline: Make) -> None:
    line = state.enter(pipeline)

    status = line.status()

    [fetcher] = status["fetchers"]
    processors = [each["waiting_for"] or "-" for each in status["processors"]]
    assert (fetcher["waiting_for"], *processors[:1]) == (
        state.fetcher,
        *([state.processor] if state.processor else []),
    )
    assert re.fullmatch(state.why, status["why"])
    # And so do the other places where somebody looks.
    assert describe(status).splitlines()[1] == status["why"]
    assert status["why"][:60] in shown(status)


def test_of_a_poll_that_is_due_and_waits_nobody_says_when(pipeline: Make) -> None:
    line = pushed(pipeline(processors=0, buffer=4), 9)

    [fetcher] = line.status()["fetchers"]

    assert (fetcher["waiting_for"], fetcher["next_poll_s"]) == (reasons.ROOM, None)


def shown(status: SystemStatus, trouble: str = "") -> str:
    view = View(4570)
    view.take(status, 0.0)
    view.trouble = trouble
    console = Console(width=200, height=40, file=io.StringIO())
    with console.capture() as captured:
        console.print(view.draw(200, 40))
    return captured.get()


def test_a_view_without_an_answer_does_not_say_that_all_is_well(
    pipeline: Make,
) -> None:
    status = told(pipeline()).status()

    head, why = shown(status, "the system does not answer").splitlines()[:2]

    assert head.startswith("lowtide silent at port 4570")
    assert why.strip() == "the system does not answer"

"""Row 3 of the fault matrix, the others' side: one sick peer harms no other."""

from __future__ import annotations

import itertools
import os
import signal
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]

LEASE_S = 3.0


def seconds(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def gap(done: Iterable[dict[str, Any]]) -> float:
    """What a processor usually takes from one job to the next, in seconds."""
    by = defaultdict(list)
    for each in done:
        by[each["processor"]].append(seconds(each))
    gaps = [
        later - sooner
        for times in by.values()
        for sooner, later in itertools.pairwise(times)
    ]
    return statistics.median(gaps)


@pytest.mark.alone
def test_03_three_keep_their_pace_while_the_fourth_is_stopped(
    start_numbers: Start,
    start_system: Start,
    settle: Take,
    env: dict[str, str],
    window: Any,
) -> None:
    numbers = start_numbers("--preload", "190", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:slow_root", "--processors", "4"),
        *("--lease", str(LEASE_S)),
    )
    [sick] = system.wait_for("processor.attached", processor="processor-4")
    before = system.wait_for("job.done", count=60)

    os.kill(sick["pid"], signal.SIGSTOP)

    [silent] = system.wait_for("stage.silent", stage="processor-4")
    # Of several, the first is the one that it was at.
    its = system.wait_for("job.returned")[0]["job_id"]
    [again] = system.wait_for("job.done", job_id=its)
    last = system.all_of("job.done", pid=sick["pid"])
    stopped_at = seconds(last[-1])
    since = max(seconds(each) for each in before)
    others = [
        each for each in system.all_of("job.done") if each["processor"] != "processor-4"
    ]
    while_sick = [e for e in others if since < seconds(e) < seconds(silent)]
    well = [e for e in others if seconds(e) <= since]
    # Three of them, at half of their pace or more.
    took = seconds(silent) - since
    assert len(while_sick) * gap(well) > 3 * took / 2
    # One that waited for the sick peer would take seconds.
    assert gap(while_sick) <= 1.5 * gap(well)
    lines = Path(env["TEST_EFFECTS"]).read_text().splitlines()
    pids = {
        line.split()[1] for line in lines if line.split()[0] == str(again["job_id"])
    }
    assert pids - {str(sick["pid"])}
    assert seconds(again) - stopped_at < 3 * LEASE_S
    taken = settle(numbers, system)
    assert (taken.lost, taken.unexpected) == ((), ())
    assert taken.duplicated <= len(system.all_of("job.returned")) <= window.long

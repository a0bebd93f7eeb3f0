"""Requests that the source holds open until there is a job."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.journal.stores import look_into

pytestmark = pytest.mark.system

Start = Callable[..., Any]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(url: str) -> str:
        path = tmp_path / "lowtide.toml"
        path.write_text(
            '[[fetcher]]\nname = "numbers"\nfetch = "domain.numbers:fetch"\n'
            f'every_s = 60.0\noptions = {{ url = "{url}", wait_s = 20 }}\n'
        )
        return str(path)

    return write


def asked(log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if line["path"].startswith("/number?wait_s=20")]


def test_a_job_is_picked_up_at_once_with_hardly_any_requests(
    start_numbers: Start, start_system: Start, config: Start, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    numbers = start_numbers("--every", "0", "--access-log", str(log))
    system = start_system("--config", config(numbers.url))

    delays = []
    for count in range(1, 11):
        began = time.monotonic()
        numbers.add(count * count)
        system.wait_for("job.done", count=count)
        delays.append(time.monotonic() - began)

    # The next poll would be a minute later, the end of a held request 20 s.
    assert sorted(delays)[5] < 5
    assert len(asked(log)) <= 10


def test_what_is_buffered_does_not_wait_for_a_held_request(
    start_numbers: Start, start_system: Start, config: Start
) -> None:
    numbers = start_numbers("--every", "0", "--preload", "3")
    system = start_system("--config", config(numbers.url), "--processors", "0")
    system.wait_for("job.fetched", count=3)

    system.command("attach")

    system.wait_for("job.done", count=3)
    # It is held still.
    assert system.all_of("fetcher.polled") == []


def test_a_drain_does_not_wait_for_a_held_request(
    start_numbers: Start, start_system: Start, config: Start
) -> None:
    numbers = start_numbers("--every", "0", "--preload", "1")
    system = start_system("--config", config(numbers.url))
    system.wait_for("job.done")
    began = time.monotonic()

    code, _, _ = system.command("stop")

    assert (code, system.wait()) == (0, 0)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("number", range(3))
def test_a_job_that_is_handed_out_at_the_drain_is_kept(
    start_numbers: Start,
    start_system: Start,
    config: Start,
    env: dict[str, str],
    number: int,
) -> None:
    numbers = start_numbers("--every", "0", "--preload", "1")
    system = start_system("--config", config(numbers.url))
    system.wait_for("job.done")
    adding = threading.Thread(target=numbers.add, args=[4] * 5)
    stopping = threading.Thread(target=system.command, args=["stop"])
    order = [adding, stopping][:: 1 if number % 2 else -1]

    for each in order:
        each.start()

    for each in order:
        each.join()
    assert system.wait() in (0, 4)
    served = set(numbers.account()["served"])
    done = {each["job"]["id"] for each in system.all_of("job.done")}
    assert served == done | kept_in(env["LOWTIDE_JOURNAL"])


def kept_in(journal: str) -> set[int]:
    with contextlib.closing(look_into(journal)) as view:
        return {each["id"] for each in view.jobs(None, -1)}

"""A hostile source: every fault of the number server, against a whole system."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from actors.journal.stores import look_into

pytestmark = pytest.mark.system

Start = Callable[..., Any]

#: Bytes by which a fetcher may grow over an answer of 100 MiB.
FLAT = 24 * 1024 * 1024


def start(start_system: Start, url: str, *words: str) -> Any:
    return start_system("--url", url, "--every", "0.1", "--processors", "1", *words)


def set_fault(numbers: Any, *faults: str) -> None:
    answer = requests.post(f"{numbers.url}/fault", json=faults, timeout=30)
    assert answer.status_code == 200, answer.text


def quarantined(system: Any) -> list[dict[str, str]]:
    """The payloads in quarantine, whole, as the journal keeps them."""
    with contextlib.closing(look_into(system.env["LOWTIDE_JOURNAL"])) as view:
        return [each["payload"] for each in view.jobs("quarantined", -1)]


def raw(payload: dict[str, str]) -> bytes:
    text = payload["raw"]
    return base64.b64decode(text) if payload["encoding"] == "base64" else text.encode()


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kib) * 1024


def fetcher_of(system: Any) -> tuple[int, int]:
    """The fetcher's process, and the most memory that it ever had."""
    system.wait_for("processor.attached")
    pid = system.status()["fetchers"][0]["pid"]
    return pid, peak_bytes(pid)


def assert_stayed_flat(system: Any, before: tuple[int, int]) -> None:
    """The same process as before, and no larger than an answer makes it."""
    pid, peak = before
    assert system.status()["fetchers"][0]["pid"] == pid
    assert peak_bytes(pid) - peak < FLAT


def only_error(system: Any, outcome: str = "error") -> dict[str, Any]:
    [polled] = system.wait_for("fetcher.polled", outcome=outcome)
    return dict(polled)


@pytest.mark.parametrize(
    ("fault", "error", "kept"),
    [
        ("cut:12", "CutOffError", rb'\{"id": 1, "n'),
        ("html", "BadJsonError", rb'<!DOCTYPE html>.*<p>\{"id": 1, "number": 1\}'),
        ("nan", "BadJsonError", rb'\{"id": 1, "number": 1, "weight": NaN\}'),
        ("deep", "BadJsonError", rb"\[{65536}"),
        ("deep:100", "BadJsonError", rb'\[{100}\{"id": 1, "number": 1\}\]{100}'),
        ("huge", "TooLargeError", rb'\{"id": 1, "number": 1, "padding": "x{65501}'),
        ("bomb", "TooLargeError", rb'\{"id": 1, "number": 1, "padding": "x{65501}'),
    ],
)
def test_a_job_in_a_body_that_cannot_be_used_is_quarantined_raw(
    start_numbers: Start, start_system: Start, fault: str, error: str, kept: bytes
) -> None:
    numbers = start_numbers("--every", "0")
    system = start(start_system, numbers.url)
    before = fetcher_of(system)
    set_fault(numbers, f"{fault}*1")

    numbers.add(1, 4, 9)

    [told] = system.wait_for("job.quarantined")
    done = system.wait_for("job.done", count=2)
    assert error in told["error"]
    assert error in only_error(system)["error"]
    [payload] = quarantined(system)
    assert re.fullmatch(kept, raw(payload))
    assert [each["job"]["id"] for each in done] == [2, 3]
    assert numbers.account()["served"] == [1, 2, 3]
    accounting = system.status()["accounting"]
    assert (accounting["fetched"], accounting["quarantined"]) == (3, 1)
    assert_stayed_flat(system, before)


def test_what_came_of_a_dripping_answer_is_quarantined(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "drip:1*1")
    numbers.add(1, 4)

    system = start(start_system, numbers.url)

    before = fetcher_of(system)
    [done] = system.wait_for("job.done", within_s=60)
    assert_stayed_flat(system, before)
    assert done["job"]["id"] == 2
    assert "TimedOutError" in only_error(system)["error"]
    [payload] = quarantined(system)
    assert b'{"id": 1, "number": 1}'.startswith(raw(payload))
    assert len(raw(payload)) >= 5


def test_a_server_that_hangs_costs_one_job_at_most(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "hang:60*1")
    numbers.add(1, 4, 9)

    system = start(start_system, numbers.url)

    before = fetcher_of(system)
    done = system.wait_for("job.done", count=2, within_s=60)
    assert_stayed_flat(system, before)
    assert "TimedOutError" in only_error(system)["error"]
    assert only_error(system)["unknown_outcome"] is True
    assert system.status()["fetchers"][0]["unknown_outcomes"] == 1
    assert [each["job"]["id"] for each in done] == [2, 3]
    assert numbers.account()["served"] == [1, 2, 3]
    assert system.status()["accounting"]["fetched"] == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("500*3", "BadStatusError: .* got 500"),
        ("429*3", "BadStatusError: .* got 429"),
        ("301*3", "RedirectedError: .* got status 301 .* not followed"),
    ],
)
def test_an_answer_without_a_job_costs_none(
    start_numbers: Start, start_system: Start, fault: str, error: str
) -> None:
    numbers = start_numbers("--every", "0", "--fault", fault)
    numbers.add(1, 4)

    system = start(start_system, numbers.url)

    before = fetcher_of(system)
    done = system.wait_for("job.done", count=2, within_s=60)
    assert_stayed_flat(system, before)
    assert re.search(error, only_error(system)["error"])
    assert [each["job"]["id"] for each in done] == [1, 2]
    assert system.all_of("job.quarantined") == []
    assert system.status()["fetchers"][0]["unknown_outcomes"] == 0


def test_a_redirect_to_another_server_takes_nothing_from_it(
    start_numbers: Start, start_system: Start
) -> None:
    other = start_numbers("--every", "0", "--preload", "1")
    numbers = start_numbers("--every", "0", "--fault", f"301:{other.url}/number*2")
    numbers.add(1)

    system = start(start_system, numbers.url)

    system.wait_for("job.done", within_s=60)
    assert f"pointing to {other.url}/number" in only_error(system)["error"]
    assert other.account()["served"] == []


def test_a_server_that_refuses_connections_loses_nothing(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--preload", "1")
    system = start(start_system, numbers.url)
    system.wait_for("job.done")
    before = fetcher_of(system)

    set_fault(numbers, "refuse:3")

    polled = system.wait_for("fetcher.polled", outcome="error")
    assert all("UnreachableError" in each["error"] for each in polled)
    system.wait_for("fetcher.polled", count=2, within_s=60, outcome="none")
    numbers.add(4)
    system.wait_for("job.done", count=2, within_s=60)
    assert_stayed_flat(system, before)
    assert numbers.account()["served"] == [1, 2]


def test_a_job_that_is_replayed_is_not_run_again(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "replay*2")
    numbers.add(1, 4)

    system = start(start_system, numbers.url)

    before = fetcher_of(system)
    system.wait_for("job.done", count=2)
    assert_stayed_flat(system, before)
    [duplicate] = system.wait_for("job.duplicate")
    done = system.all_of("job.done")
    assert duplicate["job_id"] == 1
    assert [each["job"]["id"] for each in done] == [1, 2]
    assert system.status()["accounting"]["fetched"] == 2


def test_retry_after_is_obeyed_within_bounds(
    start_numbers: Start, start_system: Start
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    faults = ["429:0", "503:soon", "429:1", f"503:{soon}"]
    words = [word for each in faults for word in ("--fault", f"{each}*1")]
    numbers = start_numbers("--every", "0", *words)

    system = start(start_system, numbers.url)

    polled = system.wait_for("fetcher.polled", count=4, outcome="error")
    waits = [each["next_poll_s"] for each in polled]
    assert waits[0] <= 1.0
    assert waits[1] <= 2.0
    assert 1.0 <= waits[2] <= 4.0
    assert 20.0 <= waits[3] <= 60.0


def test_a_server_that_asks_for_a_long_pause_gets_an_hour(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "429:1000000000")

    system = start(start_system, numbers.url)

    assert only_error(system)["next_poll_s"] == 3600.0
    [fetcher] = system.status()["fetchers"]
    assert (fetcher["state"], fetcher["waiting_for"]) == ("running", "backoff")
    assert 3500 < fetcher["next_poll_s"] <= 3600


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_source_that_refuses_us_as_we_are_is_faulted(
    start_numbers: Start, start_system: Start, status: int
) -> None:
    numbers = start_numbers("--every", "0", "--fault", str(status))

    system = start(start_system, numbers.url)

    polled = only_error(system, "faulted")
    assert f"got {status}" in polled["error"]
    assert (polled["level"], polled["next_poll_s"]) == ("error", 300.0)
    [fetcher] = system.status()["fetchers"]
    assert (fetcher["state"], fetcher["waiting_for"]) == ("faulted", "backoff")
    assert 200 < fetcher["next_poll_s"] <= 300
    code, _, _ = system.command("stop")
    assert (code, system.wait()) == (0, 0)


def test_a_source_that_refuses_those_who_ask_too_often_is_obeyed(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "403:900")

    system = start(start_system, numbers.url)

    assert only_error(system, "faulted")["next_poll_s"] == 900.0


def test_a_source_that_goes_on_serving_nonsense_does_not_fill_the_quarantine(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    again = ("replay*1", "html*1")
    set_fault(numbers, "html*1", *again, *again, "replay*1")
    numbers.add(1)

    system = start(start_system, numbers.url)

    system.wait_for("job.done", within_s=60)
    assert len(system.all_of("job.duplicate")) == 1
    assert len(quarantined(system)) == 1


def test_a_quarantined_body_outlives_its_system(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0", "--fault", "nan*1")
    numbers.add(1)
    first = start(start_system, numbers.url)
    first.wait_for("job.quarantined")
    first.command("stop")
    assert first.wait() == 0

    second = start(start_system, numbers.url)

    assert second.status()["accounting"]["quarantined"] == 1
    assert len(quarantined(second)) == 1

"""The main job: numbers from a real server to square roots, on demand."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def test_every_served_number_is_done_once_with_the_right_root(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "200", "--seed", "7", "--every", "0")

    system = start_system("--url", numbers.url, "--until-idle", "0.5")

    assert system.wait(30) == 0
    done = system.all_of("job.done")
    assert sorted(each["job"]["id"] for each in done) == numbers.account()["served"]
    assert len(done) == 200
    wrong = [e for e in done if e["result"] != math.sqrt(e["job"]["number"])]
    assert wrong == []
    [stopped] = system.all_of("system.stopped")
    assert stopped["accounting"] == {
        "fetched": 200,
        "done": 200,
        "buffered": 0,
        "in_flight": 0,
        "retrying": 0,
        "quarantined": 0,
        "dropped": 0,
    }


@pytest.mark.alone
def test_work_is_spread_evenly_and_one_job_at_a_time(
    start_numbers: Start, start_system: Start, all_ask: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:timed_nap", "--processors", "3"),
        *("--max-demand", "1", "--every", "0.1"),
    )
    all_ask(system, 3)

    numbers.add(*range(30))

    done = system.wait_for("job.done", count=30)
    spread = Counter(each["processor"] for each in done)
    assert sum(spread.values()) == 30
    assert max(spread.values()) <= 1.5 * min(spread.values())
    for processor in spread:
        assert (
            overlaps(each["result"] for each in done if each["processor"] == processor)
            == 0
        )
    worked = sum(ended - began for began, ended in (each["result"] for each in done))
    began, ended = (
        min(each["result"][0] for each in done),
        max(each["result"][1] for each in done),
    )
    assert ended - began < worked / 2


def overlaps(spans: Iterable[tuple[float, float]]) -> int:
    """How often one begins before the one before it has ended."""
    pairs = itertools.pairwise(sorted(spans))
    return sum(later[0] < earlier[1] for earlier, later in pairs)


def test_without_demand_the_buffer_fills_and_polling_stops(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "50", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:short_nap", "--processors", "0"),
        *("--buffer", "20", "--every", "0.1"),
    )

    system.wait_for("fetcher.polled", outcome="full")
    status = system.status()

    assert status["accounting"]["buffered"] == 20
    assert status["fetchers"][0]["waiting_for"] == "room"
    assert status["fetchers"][0]["demand"] == 0
    assert len(numbers.account()["served"]) == 20

    code, out, _ = system.command("attach", "--count", "2")

    assert (code, out) == (0, "attached processor-1, processor-2\n")
    done = system.wait_for("job.done", count=50)
    assert sorted(each["job_id"] for each in done) == list(range(1, 51))
    assert {each["processor"] for each in done} == {"processor-1", "processor-2"}


def test_a_killed_idle_processor_is_replaced_and_the_new_one_works(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--processors", "1", "--every", "0.1")
    [first] = system.wait_for("processor.attached")

    os.kill(first["pid"], signal.SIGKILL)

    [exited] = system.wait_for("stage.exited")
    [again] = system.wait_for("stage.restarted")
    numbers.add(49)
    [done] = system.wait_for("job.done")
    assert (exited["pid"], exited["restart_in_s"]) == (first["pid"], 0.0)
    assert (done["result"], done["pid"]) == (7.0, again["pid"])
    assert system.status()["processors"][0]["restarts"] == 1


class SlowApi(BaseHTTPRequestHandler):
    """Serves five numbers at once; the sixth request takes a minute."""

    protocol_version = "HTTP/1.1"
    asked = 0
    hanging = threading.Event()
    end = threading.Event()

    def do_GET(self) -> None:
        SlowApi.asked += 1
        body = b""
        if SlowApi.asked <= 5:
            job = {"id": SlowApi.asked, "number": SlowApi.asked**2}
            body = json.dumps(job).encode()
        else:
            SlowApi.hanging.set()
            SlowApi.end.wait(60)
        self.send_response(200 if body else 204)
        if body:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


@pytest.fixture
def slow_api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowApi)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}
    )
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    SlowApi.end.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_slow_api_does_not_hold_up_what_is_buffered(
    slow_api: str, start_system: Start, tmp_path: Path
) -> None:
    config = tmp_path / "slow.toml"
    # A minute, so that it is not given up before a busy machine comes to the jobs.
    config.write_text(
        '[[fetcher]]\nname = "slow"\nfetch = "domain.numbers:fetch"\n'
        f'options = {{ url = "{slow_api}", wait_s = 50 }}\n'
    )
    system = start_system("--config", str(config), "--processors", "0")
    system.wait_for("job.fetched", count=5)
    assert SlowApi.hanging.wait(30)

    system.command("attach")

    system.wait_for("job.done", count=5)
    assert not SlowApi.end.is_set()
    assert system.all_of("fetcher.polled") == []


def test_status_answers_while_a_job_runs_for_a_minute(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system(
        "--url", numbers.url, "--process", "jobs:minute", "--processors", "1"
    )
    system.wait_for_in_flight()

    status = system.status()

    assert status["accounting"]["in_flight"] == 1
    assert status["processors"][0]["state"] == "running"
    assert status["processors"][0]["in_flight"] == 1
    code, out, _ = system.command("stop", "--now")
    assert code == 4
    assert "1 in flight" in out
    assert system.wait() == 4


def test_any_json_api_is_a_source_without_code(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "3", "--every", "0")

    system = start_system(
        *("--fetch", "domain.api:fetch", "--url", f"{numbers.url}/number"),
        *("--until-idle", "0.5"),
    )

    assert system.wait(30) == 0
    done = [each["job"]["id"] for each in system.all_of("job.done")]
    assert sorted(done) == numbers.account()["served"] == [1, 2, 3]

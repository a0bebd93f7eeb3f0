"""Traces and metrics, against a collector that speaks OTLP."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from actors.host.ports import free_port

if TYPE_CHECKING:
    from actors.testing.processes import System

Start = Callable[..., "System"]

otlp = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
metrics = pytest.importorskip(
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2"
)
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
pytestmark = pytest.mark.system

#: The function has a request of its own, whose header tells what it is below.
MODULE = """
import urllib.request
from opentelemetry import propagate

jobs = iter([{"id": 1}, {"id": 2}])

def fetch():
    return next(jobs, None)

def process(job):
    headers = {}
    propagate.inject(headers)
    if job["id"] == 2:
        raise ValueError("no")
    return headers

def process_all(jobs):
    headers = {}
    propagate.inject(headers)
    return [headers for _ in jobs]

async def process_all_later(jobs):
    return process_all(jobs)

def pool():
    from concurrent.futures import ProcessPoolExecutor
    return ProcessPoolExecutor(1)

def parse(job):
    return process(job)

def price(headers):
    return {"parse": headers} | process({"id": 3})
"""
CONFIG = """
every_s = 0.1
retries = 1
[hooks]
all = "actors.hooks.otel:tell"
[[fetcher]]
name = "desk"
fetch = "traced:fetch"
[[processor]]
name = "sort"
"""


class Collector:
    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.metrics: dict[str, Any] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(self.path, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            request = otlp.ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                self.services |= {
                    each.value.string_value
                    for each in resource.resource.attributes
                    if each.key == "service.name"
                }
                for scope in resource.scope_spans:
                    self.spans += scope.spans
        else:
            request = metrics.ExportMetricsServiceRequest.FromString(body)
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    self.metrics |= {each.name: each for each in scope.metrics}

    def by_job(self) -> dict[tuple[str, str], Any]:
        return {
            (each.name, _attribute(each, "messaging.message.id")): each
            for each in self.spans
        }

    def parent_named_by(self, line: dict[str, Any]) -> Any:
        """The span of a job's attempt that its result names."""
        [span] = (
            each
            for each in self.spans
            if line["result"]["traceparent"]
            == f"00-{each.trace_id.hex()}-{each.span_id.hex()}-01"
        )
        return span

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector(tmp_path: Path, env: dict[str, str]) -> Iterator[Collector]:
    (tmp_path / "traced.py").write_text(MODULE)
    collector = Collector()
    env["PYTHONPATH"] += f":{tmp_path}"
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    env["OTEL_SERVICE_NAME"] = "help-desk"
    yield collector
    collector.close()


@pytest.fixture
def start(collector: Collector, tmp_path: Path, start_system: Start) -> Start:
    def start(processor: str, *words: str) -> System:
        file = tmp_path / "lowtide.toml"
        file.write_text(f"{CONFIG}{processor}\n")
        return start_system("--config", str(file), *words)

    return start


def test_a_job_is_a_trace_that_goes_on_in_the_users_requests(
    collector: Collector, start: Start
) -> None:
    system = start('process = "traced:process"', "--until-idle", "0.5")

    [done] = system.wait_for("job.done")
    assert system.wait() == 0
    spans = collector.by_job()
    assert set(spans) == {
        (f"{operation} desk", job)
        for operation in ("receive", "wait", "process")
        for job in ("1", "2")
    }
    receive, wait, process = (
        spans[f"{each} desk", "1"] for each in ("receive", "wait", "process")
    )
    assert receive.parent_span_id == b""
    assert wait.parent_span_id == process.parent_span_id == receive.span_id
    assert receive.trace_id == wait.trace_id == process.trace_id
    assert receive.end_time_unix_nano <= process.start_time_unix_nano
    assert wait.end_time_unix_nano == process.start_time_unix_nano
    # What the function sends on names the span of its attempt.
    traceparent = done["result"]["traceparent"]
    assert traceparent == f"00-{process.trace_id.hex()}-{process.span_id.hex()}-01"
    assert _attribute(process, "messaging.system") == "lowtide"
    assert _attribute(process, "messaging.operation.type") == "process"
    failed = spans["process desk", "2"]
    assert (failed.status.code, failed.status.message) == (2, "ValueError: no")
    assert collector.services == {"help-desk"}
    received = collector.metrics["messaging.client.consumed.messages"]
    assert sum(each.as_int for each in received.sum.data_points) == 2
    took = collector.metrics["messaging.process.duration"]
    assert sum(each.count for each in took.histogram.data_points) == 2


@pytest.mark.parametrize("function", ["process_all", "process_all_later"])
def test_what_a_list_of_jobs_sends_is_below_the_first_of_them(
    function: str, collector: Collector, start: Start
) -> None:
    batch = f'process = "traced:{function}"\nbatch_size = 2\nmax_demand = 2\ncount = 1'
    system = start(f"{batch}\nbatch_timeout_s = 60", "--until-idle", "0.5")

    both = system.wait_for("job.done", count=2)
    assert system.wait() == 0
    spans = collector.by_job()
    assert [collector.parent_named_by(each) for each in both] == [
        spans["process desk", "1"],
        spans["process desk", "1"],
    ]
    assert ("process desk", "2") in spans


def test_a_trace_goes_on_in_an_executor(collector: Collector, start: Start) -> None:
    words = 'process = "traced:process"\nexecutor = "traced:pool"'
    system = start(words, "--until-idle", "0.5")

    [done] = system.wait_for("job.done")
    assert system.wait() == 0
    assert collector.parent_named_by(done) == collector.by_job()["process desk", "1"]


ALLOWED = ("--allow", "traced:price")
STEPS = """
process = "traced:parse"
count = 1
[[processor]]
name = "price"
process = "traced:price"
from = ["sort"]
count = {count}
"""


def test_a_trace_goes_on_in_a_later_step(collector: Collector, start: Start) -> None:
    system = start(STEPS.format(count=1), "--until-idle", "0.5")

    [done] = system.wait_for("job.done")
    assert system.wait() == 0
    first = collector.by_job()["process desk", "1"]
    [later] = (each for each in collector.spans if each.name == "process sort-1")
    assert collector.parent_named_by({"result": done["result"]["parse"]}) == first
    assert collector.parent_named_by(done) == later
    assert (later.trace_id, later.parent_span_id) == (first.trace_id, first.span_id)
    assert first.start_time_unix_nano <= later.start_time_unix_nano
    assert later.end_time_unix_nano <= first.end_time_unix_nano
    assert _attribute(later, "messaging.message.id") == "1"


def test_on_a_machine_that_joined_a_later_step_is_within_the_first(
    collector: Collector, start: Start, join_system: Start, env: dict[str, str]
) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "a key of all machines, 32 bytes or more"
    gate = f"127.0.0.1:{free_port()}"
    system = start(STEPS.format(count=0), "--bind", gate)

    join_system(gate, "--processor", "price", "--processors", "1", *ALLOWED)

    [done] = system.wait_for("job.done")
    system.wait_for("job.quarantined")
    system.command("stop")
    assert system.wait() == 0
    assert collector.parent_named_by(done) == collector.by_job()["process desk", "1"]


def test_a_trace_goes_on_on_a_machine_that_joined(
    collector: Collector, start: Start, join_system: Start, env: dict[str, str]
) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "a key of all machines, 32 bytes or more"
    gate = f"127.0.0.1:{free_port()}"
    system = start('process = "traced:process"\ncount = 0', "--bind", gate)

    join_system(gate, "--processors", "1", "--allow", "traced:process")

    [done] = system.wait_for("job.done")
    system.wait_for("job.quarantined")
    system.command("stop")
    assert system.wait() == 0
    assert done["processor"].endswith("/sort-1")
    assert collector.parent_named_by(done) == collector.by_job()["process desk", "1"]


def _attribute(span: Any, key: str) -> str:
    [value] = (each.value for each in span.attributes if each.key == key)
    return str(value.string_value)

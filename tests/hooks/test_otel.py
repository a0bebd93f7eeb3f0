"""Spans and measurements of events, with exporters that keep them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from actors.demand.consumer import Task
from actors.demand.messages import Assignment
from actors.hooks import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from actors.hooks import otel

SEED = "0123456789abcdef"


def events_of(key: int, *names: str) -> list[dict[str, Any]]:
    about = {"fetcher": "desk", "key": key, "job_id": f"#{key}", "attempt": 1}
    return [
        {"event": name, "at": 5.0 + number, **about}
        for number, name in enumerate(names)
    ]


def telemetry_of(exporter: SpanExporter) -> otel.Telemetry:
    return otel.Telemetry(SEED, exporter, InMemoryMetricReader())


def test_an_attempt_that_failed_says_why() -> None:
    exporter = InMemorySpanExporter()
    telemetry = telemetry_of(exporter)
    fetched, leased, failed = events_of(1, "fetched", "leased", "failed")

    for event in (fetched, leased, failed | {"error": "ValueError: no"}):
        telemetry.tell(event)
    telemetry.close()

    receive, wait, process = exporter.get_finished_spans()
    assert [each.name for each in (receive, wait, process)] == [
        "receive desk",
        "wait desk",
        "process desk",
    ]
    assert receive.parent is None
    assert wait.parent.span_id == process.parent.span_id == receive.context.span_id
    assert (wait.start_time, wait.end_time) == (5_000_000_000, 6_000_000_000)
    assert (process.start_time, process.end_time) == (6_000_000_000, 7_000_000_000)
    assert process.status.status_code is trace.StatusCode.ERROR
    assert process.status.description == "ValueError: no"
    assert process.attributes["messaging.message.id"] == "#1"
    assert process.resource.attributes["service.name"] == "lowtide"
    assert process.instrumentation_scope.name == "lowtide"


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_of_a_trace_that_is_not_sampled_nothing_is_sent_by_anybody(
    sampler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    monkeypatch.setattr(spans, "seed", SEED)
    monkeypatch.setattr(spans, "_fetchers", frozenset(["desk"]))
    exporter = InMemorySpanExporter()
    telemetry = telemetry_of(exporter)
    told = set()

    spans._library.cache_clear()  # noqa: SLF001 - it was loaded with another sampler
    for key in range(100):
        for event in events_of(key, "fetched", "leased", "done"):
            telemetry.tell(event)
        with spans.Within(Task("desk", Assignment(0, key, 1, key, None))):
            # What the user's own instruments ask.
            here = trace.get_current_span().get_span_context()
        if here.trace_flags.sampled:
            told.add(here.trace_id)
    telemetry.close()
    spans._library.cache_clear()  # noqa: SLF001

    sent = exporter.get_finished_spans()
    assert {each.context.trace_id for each in sent} == told
    assert len(sent) == 3 * len(told)
    assert 20 < len(told) < 80


def test_a_disabled_sdk_makes_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    exporter = InMemorySpanExporter()
    telemetry = telemetry_of(exporter)

    for event in events_of(1, "fetched", "leased", "done"):
        telemetry.tell(event)
    telemetry.close()

    assert exporter.get_finished_spans() == ()


class Slow(SpanExporter):  # type: ignore[misc]
    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.count = 0

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        self.may_go_on.wait(60)
        self.count += len(spans)
        return SpanExportResult.SUCCESS


def test_who_makes_spans_waits_for_a_slow_exporter_and_drops_none() -> None:
    exporter = Slow()
    telemetry = telemetry_of(exporter)
    count = 2 * otel.MOST_SPANS

    def tell() -> None:
        for key in range(count):
            for event in events_of(key, "fetched"):
                telemetry.tell(event)

    maker = threading.Thread(target=tell, daemon=True)
    maker.start()
    exporter.may_go_on.set()
    maker.join(60)
    assert not maker.is_alive()
    telemetry.close()

    assert exporter.count == count


def test_jobs_are_counted_and_attempts_measured() -> None:
    reader = InMemoryMetricReader()
    telemetry = otel.Telemetry(SEED, InMemorySpanExporter(), reader)
    for key in range(3):
        for event in events_of(key, "fetched", "leased", "done"):
            telemetry.tell(event)

    data = reader.get_metrics_data()
    [scope] = data.resource_metrics[0].scope_metrics
    points = {each.name: [*each.data.data_points] for each in scope.metrics}
    [received] = points["messaging.client.consumed.messages"]
    [took] = points["messaging.process.duration"]
    telemetry.close()

    assert (received.value, took.count, took.sum) == (3, 3, 3.0)
    assert received.attributes["messaging.operation.name"] == "receive"

"""Spans and metrics of OpenTelemetry, as a hook: ``all = "actors.hooks.otel:tell"``.

They go out by OTLP over HTTP, as the environment (``OTEL_...``) says. A job's trace is
``receive`` (it was kept), ``wait`` (until an attempt begins) and ``process`` (each
attempt), with the names of the semantic conventions for messaging.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from actors.hooks import spans
from actors.host.redaction import redact

try:
    from opentelemetry import trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ImportError(
        "traces need OpenTelemetry, which is not installed: pip install 'lowtide[otel]'"
    ) from error

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

#: Jobs whose beginning is remembered; of the others the spans begin with their end.
MOST = 100_000
_SYSTEM = "lowtide"
#: The events that end an attempt, and whether it failed.
_ENDS = {"done": False, "failed": True, "quarantined": True, "returned": True}


class _Chosen(IdGenerator):  # type: ignore[misc]
    """Gives each span the id that was chosen for it."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class Telemetry:
    """Makes spans and measurements of events; called from one thread."""

    def __init__(
        self, seed: str, processor: SpanProcessor, reader: MetricReader
    ) -> None:
        self._seed = seed
        # The environment's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES beat this.
        resource = Resource({SERVICE_NAME: _SYSTEM}).merge(Resource.create())
        if resource.attributes[SERVICE_NAME] == "unknown_service":
            resource = resource.merge(Resource({SERVICE_NAME: _SYSTEM}))
        self._ids = _Chosen()
        self.traces = TracerProvider(resource=resource, id_generator=self._ids)
        self.traces.add_span_processor(processor)
        self._tracer = self.traces.get_tracer(_SYSTEM)
        self.metrics = MeterProvider([reader], resource=resource)
        meter = self.metrics.get_meter(_SYSTEM)
        self._received = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "jobs that were kept"
        )
        self._duration = meter.create_histogram(
            "messaging.process.duration", "s", "how long an attempt took"
        )
        # When each job was ready, and when its attempt began, in nanoseconds.
        self._ready: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._began: OrderedDict[tuple[str, int], int] = OrderedDict()

    def tell(self, event: dict[str, Any]) -> None:
        """Make of an event what it means."""
        if "key" not in event:
            return
        job, at = (event["fetcher"], event["key"]), int(event["at"] * 1e9)
        match event["event"]:
            case "fetched":
                self._received.add(1, _common(event, "receive"))
                self._span(event, "receive", "receive", at, at)
                _remember(self._ready, job, at)
            case "leased":
                what = f"wait {event['attempt']}"
                self._span(event, "wait", what, self._ready.pop(job, at), at)
                _remember(self._began, job, at)
            case "released":
                _remember(self._ready, job, at)
            case name:
                if name in _ENDS:
                    self._ended(event, job, at, failed=_ENDS[name])

    def _ended(
        self, event: dict[str, Any], job: tuple[str, int], at: int, *, failed: bool
    ) -> None:
        began = self._began.pop(job, None)
        if event["event"] != "done":
            _remember(self._ready, job, at)
        if began is None:
            return  # it was set aside without an attempt, or that was told already
        common = _common(event, "process")
        error = redact(str(event.get("error") or event.get("reason") or ""))
        if failed:
            common["error.type"] = error.partition(":")[0] or "_OTHER"
        seconds = event.get("duration_s", (at - began) / 1e9)
        self._duration.record(seconds, common)
        told = error if failed else None
        self._span(event, "process", event["attempt"], began, at, told)

    def _span(
        self,
        event: dict[str, Any],
        operation: str,
        what: object,
        began: int,
        ended: int,
        error: str | None = None,
    ) -> None:
        fetcher, key = event["fetcher"], event["key"]
        self._ids.trace_id = spans.trace_id(self._seed, fetcher, key)
        self._ids.span_id = spans.span_id(self._seed, fetcher, key, what)
        above = None
        if operation != "receive":
            parent = trace.SpanContext(
                self._ids.trace_id,
                spans.span_id(self._seed, fetcher, key, "receive"),
                is_remote=True,
                trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
            )
            above = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        attributes = _common(event, operation) | {
            "messaging.message.id": redact(str(event["job_id"])),
            "lowtide.attempt": event["attempt"],
        }
        if "processor" in event:
            attributes["messaging.client.id"] = event["processor"]
        kind = SpanKind.INTERNAL if operation == "wait" else SpanKind.CONSUMER
        name = f"{operation} {fetcher}"
        span = self._tracer.start_span(
            name, above, kind, attributes, start_time=min(began, ended)
        )
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=ended)

    def close(self) -> None:
        """Send what waits."""
        self.traces.shutdown()
        self.metrics.shutdown()


def _common(event: dict[str, Any], operation: str) -> dict[str, Any]:
    common = {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": event["fetcher"],
        "messaging.operation.name": operation,
    }
    if operation != "wait":
        common["messaging.operation.type"] = operation
    return common


def _remember(
    times: OrderedDict[tuple[str, int], int], job: tuple[str, int], at: int
) -> None:
    times[job] = at
    if len(times) > MOST:
        times.popitem(last=False)


_telemetry: Telemetry | None = None


def configure(seed: str) -> None:
    """Begin, with exporters as the environment says."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    global _telemetry  # noqa: PLW0603
    _telemetry = Telemetry(
        seed,
        BatchSpanProcessor(OTLPSpanExporter()),
        PeriodicExportingMetricReader(OTLPMetricExporter()),
    )


def tell(event: dict[str, Any]) -> None:
    """The hook."""
    if _telemetry is not None:
        _telemetry.tell(event)

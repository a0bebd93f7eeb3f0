"""Spans and metrics of OpenTelemetry, as a hook: ``all = "actors.hooks.otel:tell"``.

They go out by OTLP over HTTP, as the environment (``OTEL_...``) says. A job's trace is
``receive`` (it was kept), ``wait`` (until an attempt begins) and ``process`` (each
attempt), with the names of the semantic conventions for messaging.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

from actors.hooks import spans
from actors.host import native
from actors.host.redaction import redact

try:
    from opentelemetry import trace
    from opentelemetry.metrics import Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise ImportError(
        "traces need OpenTelemetry, which is not installed: pip install 'lowtide[otel]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.metrics.export import MetricReader

#: Jobs whose beginning is remembered; of the others the spans begin with their end.
MOST = 100_000
_SYSTEM = "lowtide"
#: The events that end an attempt, and whether it failed.
_ENDS = {"done": False, "failed": True, "quarantined": True, "returned": True}


_SCOPE = InstrumentationScope(_SYSTEM)
_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
#: Spans that wait to be sent; where there are more, whoever makes them waits.
MOST_SPANS = 2048


class Patient(SpanExporter):  # type: ignore[misc]
    """An exporter that is not left behind: it says how far it is.

    The SDK drops spans that it has no time for, and nobody hears how many. Where who
    makes them waits instead, the events wait for it, and those that are left out are
    counted.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._made = self._gone = 0
        self._went = native.Signal()

    def make_one(self) -> None:
        """Wait until there is room for another span."""
        while self._made - self._gone >= MOST_SPANS:
            self._went.wait()
        self._made += 1

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        """Send them, or fail to."""
        try:
            return self._exporter.export(spans)
        finally:
            self._gone += len(spans)
            self._went.give()

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits there."""
        return bool(self._exporter.force_flush(timeout_millis))


class Telemetry:
    """Makes spans and measurements of events; called from one thread."""

    def __init__(
        self,
        seed: str,
        exporter: SpanExporter,
        reader: MetricReader,
    ) -> None:
        self._seed = seed
        # The environment's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES beat this.
        resource = Resource({SERVICE_NAME: _SYSTEM}).merge(Resource.create())
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: _SYSTEM}))
        self._resource = resource
        self.traces = TracerProvider(resource=resource)
        self._room = Patient(exporter)
        self._processor = BatchSpanProcessor(self._room, max_queue_size=MOST_SPANS)
        self.traces.add_span_processor(self._processor)
        is_off = isinstance(self.traces.get_tracer(_SYSTEM), trace.NoOpTracer)
        self._sampler = None if is_off else self.traces.sampler
        self.metrics = MeterProvider([reader], resource=resource)
        meter = self.metrics.get_meter(_SYSTEM)
        self._received: Counter[str] = Counter()
        meter.create_observable_counter(
            "messaging.client.consumed.messages",
            [lambda _: self._observed()],
            "{message}",
            "jobs that were kept",
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
                self._received[event["fetcher"]] += 1
                self._span(event, "receive", "receive", at, at)
                _remember(self._ready, job, at)
            case "leased":
                what = f"wait {event['attempt']}"
                self._span(event, "wait", what, self._ready.pop(job, at), at)
                _remember(self._began, job, at)
            case "step":
                self._step(event, at)
            case "released":
                _remember(self._ready, job, at)
            case name:
                if name in _ENDS:
                    self._ended(event, job, at, failed=_ENDS[name])

    def _observed(self) -> Iterator[Observation]:
        for fetcher, count in self._received.copy().items():
            yield Observation(count, _common(fetcher, "receive"))

    def _ended(
        self, event: dict[str, Any], job: tuple[str, int], at: int, *, failed: bool
    ) -> None:
        began = self._began.pop(job, None)
        if event["event"] != "done":
            _remember(self._ready, job, at)
        if began is None:
            return  # it was set aside without an attempt, or that was told already
        common = _common(event["fetcher"], "process")
        told = None
        if failed:
            told = redact(str(event.get("error") or event.get("reason") or ""))
            common = common | {"error.type": told.partition(":")[0] or "_OTHER"}
        seconds = event.get("duration_s", (at - began) / 1e9)
        self._duration.record(seconds, common)
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
        trace_id = spans.trace_id(self._seed, fetcher, key)
        # The job as a whole is sampled or not, before anything is made of it.
        if self._sampler is None or not spans.is_sampled(self._sampler, trace_id):
            return
        receive = _context(trace_id, spans.span_id(self._seed, fetcher, key, "receive"))
        context, parent = receive, None
        if operation != "receive":
            context = _context(trace_id, spans.span_id(self._seed, fetcher, key, what))
            parent = receive
        self._end(event, operation, context, parent, (began, ended), error)

    def _step(self, event: dict[str, Any], at: int) -> None:
        common, error = _common(event["fetcher"], "process"), event.get("error")
        if error is not None:
            common = common | {"error.type": error.partition(":")[0] or "_OTHER"}
        self._duration.record(event["duration_s"], common)
        above = spans.read(event["trace"])
        if self._sampler is None or above is None or not above.is_sent:
            return
        times = (at - int(event["duration_s"] * 1e9), at)
        context = _context(above.trace_id, event["span_id"])
        parent = _context(above.trace_id, above.span_id)
        self._end(event, "process", context, parent, times, error)

    def _end(
        self,
        event: dict[str, Any],
        operation: str,
        context: trace.SpanContext,
        parent: trace.SpanContext | None,
        times: tuple[int, int],
        error: str | None,
    ) -> None:
        fetcher, (began, ended) = event["fetcher"], times
        attributes = {
            **_common(fetcher, operation),
            "messaging.message.id": redact(str(event["job_id"])),
            "lowtide.attempt": event["attempt"],
        }
        if "processor" in event:
            attributes["messaging.client.id"] = event["processor"]
        self._room.make_one()
        # As the SDK's own spans make one at their end: those take four times as long.
        self._processor.on_end(
            ReadableSpan(
                f"{operation} {fetcher}",
                context,
                parent,
                self._resource,
                attributes,
                kind=SpanKind.INTERNAL if operation == "wait" else SpanKind.CONSUMER,
                status=_UNSET if error is None else Status(StatusCode.ERROR, error),
                start_time=min(began, ended),
                end_time=ended,
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what waits."""
        self.traces.shutdown()
        self.metrics.shutdown()


def _context(trace_id: int, span_id: int) -> trace.SpanContext:
    return trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=_SAMPLED)


@functools.cache
def _common(fetcher: str, operation: str) -> dict[str, Any]:
    common = {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": fetcher,
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
        OTLPSpanExporter(),
        PeriodicExportingMetricReader(OTLPMetricExporter()),
    )


def tell(event: dict[str, Any]) -> None:
    """The hook."""
    if _telemetry is not None:
        _telemetry.tell(event)

"""Which span a job's attempt is, for what the user's function traces below it.

The ids are made of the job's key, so that a processor and the process of hooks come to
the same without a message.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.hooks import event_queue
from actors.hooks.events import STEP
from actors.host.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.demand.consumer import Task
    from actors.demand.messages import Outcome

#: The hook that traces.
TRACER = "actors.hooks.otel:tell"
#: What this run's ids are made of; None where nothing is traced.
seed: str | None = None
_fetchers: frozenset[str] = frozenset()
#: On a machine that joined: what its leader's ids are made of, now. All processes there
#: share it, since a leader that is started again has others, and they go on.
leaders: mmap.mmap | None = None
_SEED_BYTES = 8


def trace(fetchers: Iterable[str]) -> str:
    """Have attempts be spans, in all processes that are forked from here on.

    Returns:
        What ids are made of, for the process that sends spans.
    """
    global seed, leaders, _fetchers  # noqa: PLW0603
    leaders = None
    seed, _fetchers = secrets.token_hex(_SEED_BYTES), frozenset(fetchers)
    return seed


def follow(seed: str, fetchers: Iterable[str]) -> None:
    """Have attempts be spans of a leader's traces, on a machine that joined it.

    To be called before the first processor is forked, and for each leader.

    Args:
        seed: Its own; empty where it does not trace.
        fetchers: Those that are taken from here.
    """
    global leaders, _fetchers
    if leaders is None:
        leaders, _fetchers = mmap.mmap(-1, 2 * _SEED_BYTES), frozenset(fetchers)
    text = seed.encode("ascii", "replace")
    leaders[:] = text[: len(leaders)].ljust(len(leaders))


def of_now() -> str | None:
    """What ids are made of now; None where nothing is traced."""
    if leaders is None:
        return seed
    return leaders[:].decode().strip() or None


def trace_no_more() -> None:
    """Forget it, at the end of the system."""
    global seed, leaders  # noqa: PLW0603
    seed = leaders = None


def trace_id(seed: str, fetcher: str, key: int) -> int:
    """The id of a job's trace, never 0."""
    return _number(16, seed, fetcher, key) or 1


def span_id(seed: str, fetcher: str, key: int, what: object) -> int:
    """The id of one of its spans, never 0: ``what`` is a name, or an attempt."""
    return _number(8, seed, fetcher, key, what) or 1


def is_sampled(sampler: Any, trace_id: int) -> bool:
    """Whether a sampler of the SDK's has this trace be sent."""
    from opentelemetry.context import Context  # noqa: PLC0415 - an extra

    # Not below the current span, which may be the one that asks.
    said = sampler.should_sample(Context(), trace_id, "receive")
    return bool(said.decision.is_sampled())


def _number(size: int, *parts: object) -> int:
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest(), "big")


class Span(NamedTuple):
    """A span by its ids.

    Attributes:
        is_sent: Whether its trace is one that is sent.
    """

    trace_id: int
    span_id: int
    is_sent: bool

    def __str__(self) -> str:
        """W3C's ``traceparent``."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.is_sent:02x}"


_TRACEPARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


def read(traceparent: str) -> Span | None:
    """A span by its ``traceparent``; None for anything else."""
    if (found := _TRACEPARENT.fullmatch(traceparent)) is None:
        return None
    trace_id, span_id, flags = (int(each, 16) for each in found.groups())
    return Span(trace_id, span_id, bool(flags))


def span_of(task: Task) -> Span | None:
    """The span of a job's attempt; None where there is none.

    One from a step has a span of its own where that can be told, and is within the one
    that it comes from otherwise.
    """
    _, key, attempt, _, _, trace = task.assignment
    if trace:
        above = read(trace)
        if above is None or not event_queue.wants(STEP):
            return above
        return above._replace(span_id=span_id(trace, task.source, key, attempt))
    seed = of_now()
    if seed is None or task.source not in _fetchers:
        return None
    its_id = trace_id(seed, task.source, key)
    return Span(its_id, span_id(seed, task.source, key, attempt), _is_sent(its_id))


def parent_of(task: Task) -> str:
    """What to say of where a job comes from that was made in this attempt."""
    span = span_of(task)
    return "" if span is None else str(span)


def tell_step(task: Task, outcome: Outcome) -> None:
    """Tell the process of hooks of the end of an attempt at a later step."""
    if not event_queue.wants(STEP) or (span := span_of(task)) is None:
        return
    _, key, attempt, job_id, _, trace = task.assignment
    event = {
        "event": STEP,
        "at": time.time(),
        "fetcher": task.source,
        "key": key,
        "job_id": job_id,
        "attempt": attempt,
        "trace": trace,
        "span_id": span.span_id,
        "duration_s": outcome.duration_s,
    }
    if outcome.failure is not None:
        event["error"] = redact(outcome.failure.error)
    event_queue.tell(event)


def _is_sent(trace_id: int) -> bool:
    library = _library()
    sampler = None if library is None else library.sampler
    return sampler is None or is_sampled(sampler, trace_id)


class _Library(NamedTuple):
    """OpenTelemetry's functions, and the sampler that its environment asks for."""

    attach: Callable[[Callable[[], Span | None]], Any]
    detach: Callable[[Any], None]
    sampler: Any


@functools.cache
def _library() -> _Library | None:
    """What there is of OpenTelemetry; None where it is missing."""
    try:
        from opentelemetry import context, trace  # noqa: PLC0415 - an extra
    except ImportError:
        return None

    try:
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        # As OTEL_TRACES_SAMPLER says; the spans are sent by a process of the same.
        sampler = TracerProvider(shutdown_on_exit=False).sampler
    except ImportError:
        sampler = None

    class Attempt(trace.NonRecordingSpan):  # type: ignore[misc]
        """Reckons what it is once that is asked: most functions trace nothing."""

        def __init__(self, find: Callable[[], Span | None]) -> None:
            self._find = find
            self._known = None

        def get_span_context(self) -> Any:
            if self._known is None:
                span = self._find()
                self._known = trace.INVALID_SPAN_CONTEXT
                if span is not None:
                    flags = trace.TraceFlags(int(span.is_sent))
                    self._known = trace.SpanContext(
                        span.trace_id, span.span_id, is_remote=True, trace_flags=flags
                    )
            return self._known

    def attach(find: Callable[[], Span | None]) -> Any:
        return context.attach(trace.set_span_in_context(Attempt(find)))

    return _Library(attach, context.detach, sampler)


class Within:
    """Has what is traced in it be below the span of an attempt."""

    __slots__ = ("_task", "_token")

    def __init__(self, task: Task) -> None:
        self._task = task
        self._token: Any = None

    def __enter__(self) -> None:
        task = self._task
        is_first = task.source in _fetchers and of_now() is not None
        if (is_first or task.assignment.trace) and (library := _library()) is not None:
            self._token = library.attach(functools.partial(span_of, task))

    def __exit__(self, *_: object) -> None:
        if self._token is not None and (library := _library()) is not None:
            library.detach(self._token)


class Traced:
    """A function that runs elsewhere, within the span that it is called in here."""

    def __init__(self, function: Callable[[Any], Any], traceparent: str) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._traceparent = traceparent

    def __call__(self, given: Any) -> Any:
        """Call it."""
        if (library := _library()) is None:
            return self._function(given)
        token = library.attach(functools.partial(read, self._traceparent))
        try:
            return self._function(given)
        finally:
            library.detach(token)

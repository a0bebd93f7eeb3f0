"""Which span a job's attempt is, for what the user's function traces below it.

The ids are made of the job's key, so that a processor and the process of hooks come to
the same without a message.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@functools.cache
def _library() -> Any:
    """OpenTelemetry's functions, and our kind of span; None where it is missing."""
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

        def __init__(self, *of: Any) -> None:
            self._of = of
            self._known = None

        def get_span_context(self) -> Any:
            if self._known is None:
                seed, source, key, attempt = self._of
                its_id = trace_id(seed, source, key)
                is_sent = sampler is None or is_sampled(sampler, its_id)
                self._known = trace.SpanContext(
                    its_id,
                    span_id(seed, source, key, attempt),
                    is_remote=True,
                    trace_flags=trace.TraceFlags(int(is_sent)),
                )
            return self._known

    def attach(*of: Any) -> Any:
        return context.attach(trace.set_span_in_context(Attempt(*of)))

    return attach, context.detach


class Within:
    """Has what is traced in it be below the span of an attempt."""

    __slots__ = ("_of", "_token")

    def __init__(self, source: str, key: int, attempt: int) -> None:
        self._of = source, key, attempt
        self._token: Any = None

    def __enter__(self) -> None:
        seed = of_now()
        if seed is not None and self._of[0] in _fetchers and _library() is not None:
            attach, _ = _library()
            self._token = attach(seed, *self._of)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _, detach = _library()
            detach(self._token)

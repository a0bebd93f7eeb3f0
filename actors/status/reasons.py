"""Why a stage does not move, in one word; and when two that wait are a stall.

The first reason that holds is told, in the order in which a person would have
to remove them: a pause hides all that is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection


DRAIN: Final = "drain"

PAUSED: Final = "paused"

ROOM: Final = "room"

BACKOFF: Final = "backoff"

THROTTLED: Final = "throttled"

DEMAND: Final = "demand"

JOBS: Final = "jobs"

HOLD: Final = "hold"

ROUTE: Final = "route"

RATE: Final = "rate"

ASK: Final = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetcherSituation:
    """What decides why a fetcher waits.

    Attributes:
        draining: It finishes, and polls no more.
        paused: A person stopped the polling.
        room: Jobs that can be kept.
        unasked: It fetches on demand only, and nothing more is asked for.
        backing_off: The last poll failed, and the next one is put off.
        throttled: The source asked to be left alone for a while.
        unrouted: Jobs for which it is still to be found out where they go.
        buffered: Jobs that are here and could be sent.
        limited: There are jobs and demand, and its rate lets nothing through now.
        held: Its demand is accumulated: a person is to let its jobs go.
    """

    draining: bool
    paused: bool
    room: int
    unasked: bool
    backing_off: bool
    buffered: int
    held: bool = False
    throttled: bool = False
    unrouted: int = 0
    limited: bool = False


def fetcher_waits_for(situation: FetcherSituation) -> str:
    """Say what a fetcher waits for.

    Returns:
        ``drain``, ``paused``, ``hold`` (it has jobs and is to keep them), ``route``
        (it has jobs, and ``partition_by`` or a ``selector`` is to say where they
        go), ``room`` (the buffer or the quarantine is full, or the journal cannot be
        written), ``rate`` (it has jobs, and has sent as many as its limit allows for
        now), ``backoff``, ``throttled`` (the source asked to be left alone),
        ``demand`` (it has jobs, or could get some, and nobody asks) or ``jobs`` (the
        source has none).
    """
    reasons = (
        (DRAIN, situation.draining),
        (PAUSED, situation.paused),
        (HOLD, situation.held and situation.buffered),
        (ROUTE, situation.unrouted and not situation.buffered),
        (ROOM, not situation.room),
        # What is here waits for the limit, whenever its source is asked again.
        (RATE, situation.limited),
        (BACKOFF, situation.backing_off),
        (THROTTLED, situation.throttled),
        (DEMAND, situation.buffered or situation.unasked),
    )
    return next((reason for reason, holds in reasons if holds), JOBS)


def processor_waits_for(
    *,
    draining: bool,
    busy: bool,
    sources: Collection[str | None],
    untold: bool = False,
) -> str | None:
    """Say what a processor waits for; None while it works.

    Args:
        draining: It finishes, and asks no more.
        busy: A job is in its hands.
        sources: What each of its fetchers waits for. Where all are held up by
            the same thing, that is what the processor waits for as well.
        untold: It asks when it is told to, and was not.
    """
    if draining:
        return DRAIN
    if busy:
        return None
    reasons = set(sources)
    if reasons in ({PAUSED}, {BACKOFF}, {THROTTLED}, {HOLD}, {RATE}):
        [reason] = reasons
        return reason
    return ASK if untold else JOBS

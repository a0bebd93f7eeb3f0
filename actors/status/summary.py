"""One line that says why nothing moves, or what does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.demand.buffer import LOW_WATER
from actors.demand.windows import MIB
from actors.status import reasons

if TYPE_CHECKING:
    from actors.status.model import FetcherStatus, ProcessorStatus, SystemStatus

#: A fetch that runs for so long without a word is told, in seconds.
TOLD_S = 1.0


def explain(status: SystemStatus) -> str:
    """Say in one line what a system waits for.

    Args:
        status: As ``status --json`` prints it.
    """
    if status["state"] == "draining":
        fetches = [
            f"; {each['name']} waits for its source, asked {_seconds(running_s)} ago"
            for each in status["fetchers"]
            if (running_s := each.get("fetching_s") or 0.0) >= TOLD_S
        ]
        rest = "".join(fetches) or "; nothing is fetched any more"
        return f"draining: {_left(status)}{rest}"
    broken = [_broken(each) for each in status["fetchers"]]
    broken += [_absent(each) for each in status["processors"]]
    if troubles := [each for each in broken if each]:
        return "; ".join(troubles)
    in_flight = status["accounting"]["in_flight"]
    if in_flight:
        behind = status["accounting"]["buffered"]
        more = (
            f", {behind} behind {'it' if in_flight == 1 else 'them'}" if behind else ""
        )
        way = _on_the_way(status)
        return f"{_count(in_flight, 'job')} in flight{way}{more}{_beside(status)}"
    waits = "; ".join(_fetcher(each, status) for each in status["fetchers"])
    return waits or "every fetcher was detached"


def _broken(stage: FetcherStatus) -> str:
    if error := stage.get("journal_error"):
        return (
            f"{stage['name']} cannot write its journal, so it neither fetches nor "
            f"sends: {error}"
        )
    if stage.get("quarantine_full"):
        size = _mib(stage.get("quarantined_bytes", 0))
        return (
            f"{stage['name']} does not poll: its quarantine is full "
            f"({_count(stage['quarantined'], 'job')}{size}): see lowtide jobs "
            "list --state quarantined, then retry or discard"
        )
    if stage.get("journal_full"):
        return (
            f"{stage['name']} does not poll: the journal has reached --journal-mib; "
            "finishing, retrying or discarding jobs frees space; so does the end of "
            "--remember for the ids of ended jobs"
        )
    if stage["state"] == "faulted":
        return f"{stage['name']} is refused by its source: {stage.get('last_error')}"
    return _absent(stage)


def _absent(stage: FetcherStatus | ProcessorStatus) -> str:
    says = {
        "silent": "does not answer",
        "away": "is on a machine whose connection ended",
        "backoff": "died and will be started again",
        "fatal": "died too often and will not be started again",
    }
    word = says.get(stage["state"])
    return f"{stage['name']} {word}" if word else ""


def _mib(size: int) -> str:
    return f", {size / MIB:.1f} MiB" if size >= MIB else ""


def _on_the_way(status: SystemStatus) -> str:
    size = sum(each.get("in_flight_bytes", 0) for each in status["fetchers"])
    large = f" ({size / MIB:.1f} MiB)" if size >= MIB else ""
    nobody = status["processors"] and not any(
        each["in_flight"] for each in status["processors"]
    )
    return large + (" on their way to processors or back" if nobody else "")


def _beside(status: SystemStatus) -> str:
    held = [
        f"; {each['name']} {why}" for each in status["fetchers"] if (why := _held(each))
    ]
    return "".join(held)


def _held(stage: FetcherStatus) -> str:
    limit = "" if stage.get("rate_next_s") is None else f"is {_limit(stage)}"
    if stage["waiting_for"] == reasons.ROOM:
        full = _replays(stage) or _room(stage)
        return f"{full}, and {limit}" if limit else full
    return _HELD.get(stage["waiting_for"] or "", limit)


def _replays(stage: FetcherStatus) -> str:
    left = stage.get("backlog") if stage["waiting_for"] == reasons.ROOM else 0
    return f"works off its journal first, {_count(left, 'job')} left" if left else ""


_HELD = {
    reasons.PAUSED: "is paused",
    reasons.HOLD: "holds its jobs",
    reasons.BACKOFF: "backs off from its source",
    reasons.THROTTLED: "leaves its source alone, as the source asked",
}


def _fetcher(stage: FetcherStatus, status: SystemStatus) -> str:
    name = stage["name"]
    match stage["waiting_for"]:
        case reasons.PAUSED:
            return f"{name} is paused; lowtide resume goes on"
        case reasons.ROOM:
            full = _replays(stage) or _room(stage)
            return f"{name} {full}: {_why_not_sent(stage, status)}"
        case (
            reasons.DEMAND
            | reasons.HOLD
            | reasons.RATE
            | reasons.BACKOFF
            | reasons.THROTTLED
        ):
            off, jobs = _puts_off(stage), _count(stage["buffered"], "job")
            if off and not stage["buffered"]:
                return f"{name} {off}"
            what = f"has {jobs}" if stage["buffered"] else "fetches on demand only"
            later = f"; it {off}" if off else ""
            return f"{name} {what}: {_why_not_sent(stage, status)}{later}"
        case reasons.JOBS | reasons.ROUTE:
            return _no_jobs(stage, status)
        case _:
            return f"{name} is {stage['state']}"


def _room(stage: FetcherStatus) -> str:
    """Say what takes the room, and when there will be some again."""
    jobs, retrying = stage["buffered"], stage.get("retrying", 0)
    size, low = stage["capacity"], stage["low_water"]
    held = f"{jobs} of {_count(size, 'job')}"
    if retrying:
        held += f", and {retrying} to be tried again"
    if _is_over(stage):
        mib = (stage["capacity_bytes"] or 0) * LOW_WATER / MIB
        held = _count(jobs, "job") + _mib(stage["buffered_bytes"])
        return f"is full ({held}), and polls again when {mib:.1f} MiB are left"
    if jobs + retrying < size:
        return f"has {held}, and polls again when {low} are left"
    if jobs > low:
        return f"is full ({held}), and polls again when {low} are left"
    return f"is full ({held}) and does not poll"


def _is_over(stage: FetcherStatus) -> bool:
    most = stage.get("capacity_bytes")
    return most is not None and stage["buffered_bytes"] > most * LOW_WATER


def _limit(stage: FetcherStatus) -> str:
    return f"at its rate limit, next in {_seconds(stage['rate_next_s'])}"


def _puts_off(stage: FetcherStatus) -> str:
    """Say why its source is left alone for now, if it is."""
    wait, why = _seconds(stage["next_poll_s"]), stage["waiting_for"]
    if why == reasons.THROTTLED or stage.get("throttled_s") is not None:
        said = stage.get("throttled_by") or "it is throttled"
        return f"polls again in {wait}, as its source asked: {said}"
    error = stage.get("last_error")
    if why == reasons.BACKOFF or error:
        return f"tries again in {wait}: {error or 'the source failed'}"
    return ""


def _no_jobs(stage: FetcherStatus, status: SystemStatus) -> str:
    name = stage["name"]
    if unrouted := stage.get("unrouted"):
        count = _count(unrouted, "job")
        return f"{name} has {count}: its partition_by or a selector still runs"
    if retrying := status["accounting"]["retrying"]:
        return f"{_count(retrying, 'failed job')} of {name} to be tried again later"
    running_s, age_s = stage.get("fetching_s"), stage["last_poll_age_s"]
    speaks = running_s is not None and (age_s or 0.0) > running_s + 2 * TOLD_S
    if running_s is not None and (speaks or running_s >= TOLD_S):
        may_s = stage["fetch_may_take_s"]
        did = "its fetch gave its last one" if speaks else "it asked its source"
        asked = f"{name} has no jobs: {did} {_seconds(running_s)} ago"
        if running_s <= may_s:
            return f"{asked} and waits for {'more' if speaks else 'the answer'}"
        return f"{asked} and has no answer, expected within {_seconds(may_s)}"
    if stage["last_poll_age_s"] is None:
        return f"{name} has not been polled yet"
    age = _seconds(stage["last_poll_age_s"])
    return f"{name} has no jobs: its source had none {age} ago"


def _why_not_sent(stage: FetcherStatus, status: SystemStatus) -> str:
    if stage["waiting_for"] == reasons.HOLD:
        name = stage["name"]
        return f"it accumulates; lowtide set {name} --demand forward sends them"
    if stage.get("rate_next_s") is not None:
        return _limit(stage)
    running = [
        each
        for each in status["processors"]
        if each["state"] == "running" and stage["name"] in each["takes_from"]
    ]
    if not running:
        return "there is no processor; lowtide attach adds one"
    kinds = {kind for kind, of in stage.get("kinds", {}).items() if of["buffered"]}
    if missing := sorted(kinds - {each["kind"] for each in running}):
        return _missing(missing[0], stage["kinds"][missing[0]]["buffered"])
    return _who_asks([each for each in running if not kinds or each["kind"] in kinds])


def _missing(kind: str, buffered: int) -> str:
    return (
        f"{_count(buffered, 'job')} for {kind}, of which there is no processor; "
        f"lowtide attach --processor {kind} adds one"
    )


def _who_asks(running: list[ProcessorStatus]) -> str:
    busy = sum(each["in_flight"] > 0 for each in running)
    if busy == len(running):
        return f"all {_count(busy, 'processor')} busy"
    untold = [
        each["name"] for each in running if each.get("waiting_for") == reasons.ASK
    ]
    if untold and busy + len(untold) == len(running):
        return f"{untold[0]} asks on command; lowtide ask {untold[0]} N does"
    return "no processor asks"


def _left(status: SystemStatus) -> str:
    accounting = status["accounting"]
    left_s = status.get("drain_left_s")
    within = "" if left_s is None else f", {_seconds(left_s)} left"
    return f"{accounting['in_flight']} in flight, {accounting['buffered']} kept{within}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _seconds(seconds: float | None) -> str:
    return "a moment" if seconds is None else f"{seconds:.1f} s"

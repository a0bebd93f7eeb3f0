"""Asking every stage how it is, and putting the answers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cluster.leader import describe_remote
from actors.host import logs
from actors.status import reasons
from actors.status.summary import explain
from actors.supervision.children import StageState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.supervision.children import Member
    from actors.supervision.root import RootActor

#: A stage that does not answer within so many seconds is shown as it was last.
STATUS_WITHIN_S = 0.5
#: How many of the last events of all stages are shown.
EVENTS = 20


def describe_root(
    root: RootActor, answers: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The object that ``status --json`` prints."""
    fetchers = [_describe(each, answers, _NO_FETCHER) for each in root.fetchers]
    processors = [_describe(each, answers, _NO_PROCESSOR) for each in root.processors]
    reasons = {each["name"]: each["waiting_for"] for each in fetchers}
    for described, member in zip(processors, root.processors, strict=True):
        described["waiting_for"] = _processor_reason(
            described, member.config.sources, reasons
        )
        described["kind"] = member.config.name
        described["takes_from"] = list(member.config.sources)
    kinds = {each.name: each.sources for each in root.config.processors}
    for described, kind in describe_remote(root.remote, answers):
        reason = _processor_reason(described, kinds.get(kind, ()), reasons)
        takes = {"kind": kind, "takes_from": list(kinds.get(kind, ()))}
        processors.append(described | takes | {"waiting_for": reason})
    events = [
        event for stage in (*fetchers, *processors) for event in stage.pop("events", [])
    ]
    events += logs.recent()
    status = {
        "state": root.state,
        "accounting": root.accounting().as_dict(),
        "fetchers": fetchers,
        "processors": processors,
        "events": sorted(events, key=lambda event: event["at"])[-EVENTS:],
        "drain_left_s": root.shutdown.left_s,
    }
    return status | {"why": explain(status)}


def _processor_reason(
    described: dict[str, Any],
    sources: Iterable[str],
    waits: dict[str, str | None],
) -> str | None:
    if described["state"] == StageState.BACKOFF.value:
        return reasons.BACKOFF
    return reasons.processor_waits_for(
        draining=described["state"] == StageState.DRAINING.value,
        busy=described["in_flight"] > 0,
        sources=[waits.get(each) for each in sources],
        untold=described["manual"] and not described["demand"],
    )


_NO_FETCHER: dict[str, Any] = {
    "waiting_for": None,
    "buffered": 0,
    "demand": 0,
    "fetching_s": None,
    "last_poll_age_s": None,
    "next_poll_s": None,
    "oldest_job_age_s": None,
}

_NO_PROCESSOR: dict[str, Any] = {
    "host": None,
    "in_flight": 0,
    "demand": 0,
    "manual": False,
    "done": 0,
    "failed": 0,
}


def _describe(
    member: Member[Any], answers: dict[str, dict[str, Any]], nothing: dict[str, Any]
) -> dict[str, Any]:
    answer = answers.get(member.name)
    described = {"name": member.name, "pid": member.pid, "state": member.state.value}
    if answer is not None:
        described |= {
            key: value for key, value in answer.items() if key != "accounting"
        }
    else:
        described |= nothing
        if member.state is StageState.BACKOFF:
            described["waiting_for"] = reasons.BACKOFF
        if member.state is StageState.RUNNING:
            described["state"] = "silent"
    return described | {"restarts": max(0, member.starts - 1)}

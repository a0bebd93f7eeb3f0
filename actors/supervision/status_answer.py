"""Asking every stage how it is, and putting the answers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cluster.leader import describe_remote
from actors.host import logs
from actors.status import reasons
from actors.status.summary import explain
from actors.supervision.children import StageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from actors.status.model import (
        FetcherStatus,
        ProcessorAnswer,
        ProcessorStatus,
        SystemStatus,
    )
    from actors.supervision.children import Member
    from actors.supervision.messages import StatusAnswer
    from actors.supervision.root import RootActor

#: A stage that does not answer within so many seconds is shown as it was last.
STATUS_WITHIN_S = 0.5
#: How many of the last events of all stages are shown.
EVENTS = 20


def describe_root(root: RootActor, answers: Mapping[str, StatusAnswer]) -> SystemStatus:
    """The object that ``status --json`` prints."""
    fetchers = [_fetcher(each, answers.get(each.name)) for each in root.fetchers]
    events = [event for answer in answers.values() for event in answer.events]
    events += logs.recent()
    status: SystemStatus = {
        "state": root.state,
        "accounting": root.accounting().as_dict(),
        "fetchers": fetchers,
        "processors": list(_processors(root, answers, fetchers)),
        "events": sorted(events, key=lambda event: event["at"])[-EVENTS:],
        "drain_left_s": root.shutdown.left_s,
        "why": "",
    }
    status["why"] = explain(status)
    return status


def _processors(
    root: RootActor,
    answers: Mapping[str, StatusAnswer],
    fetchers: Iterable[FetcherStatus],
) -> Iterator[ProcessorStatus]:
    waits = {each["name"]: each["waiting_for"] for each in fetchers}
    kinds = {each.name: each.sources for each in root.config.processors}
    for member in root.processors:
        answer = _processor(member, answers.get(member.name))
        sources = member.config.sources
        yield _status(member.name, answer, member.config.name, sources, waits)
    for name, answer, kind in describe_remote(root.remote, answers):
        yield _status(name, answer, kind, kinds.get(kind, ()), waits)


def _status(
    name: str,
    answer: ProcessorAnswer,
    kind: str,
    sources: Iterable[str],
    waits: Mapping[str, str | None],
) -> ProcessorStatus:
    return {
        "name": name,
        **answer,
        "restarts": answer.get("restarts", 0),
        "waiting_for": _processor_reason(answer, sources, waits),
        "kind": kind,
        "takes_from": list(sources),
    }


def _processor_reason(
    answer: ProcessorAnswer,
    sources: Iterable[str],
    waits: Mapping[str, str | None],
) -> str | None:
    if answer["state"] == StageState.BACKOFF.value:
        return reasons.BACKOFF
    return reasons.processor_waits_for(
        draining=answer["state"] == StageState.DRAINING.value,
        busy=answer["in_flight"] > 0,
        sources=[waits.get(each) for each in sources],
        untold=answer["manual"] and not answer["demand"],
    )


def _fetcher(member: Member[Any], answer: StatusAnswer | None) -> FetcherStatus:
    restarts = max(0, member.starts - 1)
    if answer is not None and answer.fetcher is not None:
        return {"name": member.name, **answer.fetcher, "restarts": restarts}
    backoff = member.state is StageState.BACKOFF
    return {
        "name": member.name,
        "pid": member.pid,
        "state": _unanswered(member),
        "waiting_for": reasons.BACKOFF if backoff else None,
        "buffered": 0,
        "demand": 0,
        "fetching_s": None,
        "last_poll_age_s": None,
        "next_poll_s": None,
        "oldest_job_age_s": None,
        "restarts": restarts,
    }


def _processor(member: Member[Any], answer: StatusAnswer | None) -> ProcessorAnswer:
    restarts = max(0, member.starts - 1)
    if answer is not None and answer.processor is not None:
        return {**answer.processor, "restarts": restarts}
    return {
        "pid": member.pid,
        "host": None,
        "state": _unanswered(member),
        "in_flight": 0,
        "demand": 0,
        "manual": False,
        "done": 0,
        "failed": 0,
        "restarts": restarts,
    }


def _unanswered(member: Member[Any]) -> str:
    running = member.state is StageState.RUNNING
    return "silent" if running else member.state.value

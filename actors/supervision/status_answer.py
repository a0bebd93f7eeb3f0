"""What ``status --json`` prints, put together from what every stage says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from actors.status import reasons
from actors.status.summary import explain
from actors.supervision.children import StageState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from actors.host.logs import Event
    from actors.status.model import (
        FetcherStatus,
        ProcessorAnswer,
        ProcessorStatus,
        SystemStatus,
    )
    from actors.supervision.children import Child
    from actors.supervision.messages import StatusAnswer
    from actors.supervision.supervisor import Supervisor

#: How many of the last events of all stages are shown.
EVENTS = 20


def describe_system(
    supervisor: Supervisor,
    answers: Mapping[str, StatusAnswer],
    *,
    state: Literal["running", "paused", "draining"],
    drain_left_s: float | None,
    elsewhere: Iterable[tuple[str, ProcessorAnswer, str]],
    events: Iterable[Event],
) -> SystemStatus:
    """Make the object that ``status --json`` prints.

    Args:
        supervisor: Of the stages on this machine.
        answers: What the stages say, by name.
        state: Of the system.
        drain_left_s: How long the drain may still take; None if there is none.
        elsewhere: The processors of other machines: name, answer and kind.
        events: The last ones in the root's own log.
    """
    fetchers = [_fetcher(each, answers.get(each.name)) for each in supervisor.fetchers]
    waits = {each["name"]: each["waiting_for"] for each in fetchers}
    kinds = {each.name: each.sources for each in supervisor.system.processors}
    processors = []
    here = processors_here(supervisor, answers)
    for child, (name, answer) in zip(supervisor.processors, here, strict=True):
        config = child.config
        processors.append(_status(name, answer, config.name, config.sources, waits))
    for name, answer, kind in elsewhere:
        processors.append(_status(name, answer, kind, kinds.get(kind, ()), waits))
    shown = [*events, *(event for each in answers.values() for event in each.events)]
    status: SystemStatus = {
        "state": state,
        "accounting": supervisor.accounting().as_dict(),
        "fetchers": fetchers,
        "processors": processors,
        "events": sorted(shown, key=lambda event: event["at"])[-EVENTS:],
        "drain_left_s": drain_left_s,
        "why": "",
    }
    status["why"] = explain(status)
    return status


def processors_here(
    supervisor: Supervisor, answers: Mapping[str, StatusAnswer]
) -> Iterator[tuple[str, ProcessorAnswer]]:
    """Each processor on this machine, by its name, and how it is."""
    for child in supervisor.processors:
        yield child.name, _processor(child, answers.get(child.name))


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


def _fetcher(child: Child[Any], answer: StatusAnswer | None) -> FetcherStatus:
    restarts = child.restarted
    if answer is not None and answer.fetcher is not None:
        return {"name": child.name, **answer.fetcher, "restarts": restarts}
    backoff = child.state is StageState.BACKOFF
    return {
        "name": child.name,
        "pid": child.pid,
        "state": _unanswered(child),
        "journal_error": None if backoff else child.waits_for,
        "waiting_for": reasons.BACKOFF if backoff else None,
        "buffered": 0,
        "demand": 0,
        "fetching_s": None,
        "last_poll_age_s": None,
        "next_poll_s": None,
        "oldest_job_age_s": None,
        "restarts": restarts,
    }


def _processor(child: Child[Any], answer: StatusAnswer | None) -> ProcessorAnswer:
    restarts = child.restarted
    if answer is not None and answer.processor is not None:
        return {**answer.processor, "restarts": restarts}
    return unanswered(child.pid, None, _unanswered(child), restarts)


def unanswered(
    pid: int | None, host: str | None, state: str, restarts: int = 0
) -> ProcessorAnswer:
    """What is said of a processor that said nothing itself."""
    return {
        "pid": pid,
        "host": host,
        "state": state,
        "in_flight": 0,
        "demand": 0,
        "manual": False,
        "done": 0,
        "failed": 0,
        "progress": [],
        "restarts": restarts,
    }


def _unanswered(child: Child[Any]) -> str:
    running = child.state is StageState.RUNNING
    return "silent" if running else child.state.value

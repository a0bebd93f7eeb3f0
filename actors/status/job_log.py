"""The log's account of what happened to jobs: one event for each event."""

from __future__ import annotations

import logging
from itertools import groupby
from typing import TYPE_CHECKING, Any

from actors.demand.job_events import (
    NOT_BEGUN,
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
    JobRouted,
    JobsSent,
    OutcomeIgnored,
    StateMoved,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from actors.demand.job import Job, Process


#: What goes well: a log without the level ``info`` says nothing of it.
_ORDINARY = frozenset((JobFetched, JobRouted, JobLeased, JobDone))


def log_events(log: FilteringBoundLogger, events: Iterable[JobEvent]) -> None:
    """Write one line for each event that a reader of the log relies on."""
    if not _tells_of_what_goes_well(log):
        events = [event for event in events if type(event) not in _ORDINARY]
    for kind, alike in groupby(events, type):
        if (many := _MANY.get(kind)) is not None:
            name, row_of = many
            _tell_alike(log, name, map(row_of, alike))
        else:
            for event in alike:
                _log_event(log, event)


def _tell_alike(
    log: FilteringBoundLogger, name: str, rows: Iterable[dict[str, Any]]
) -> None:
    # A log of another kind, as a test's, has one line after another.
    tell_alike = getattr(log, "tell_alike", None)
    if tell_alike is not None:
        tell_alike(name, rows)
        return
    for row in rows:
        log.info(name, **row)


def _fetched_row(event: JobFetched) -> dict[str, Any]:
    job = event.job
    return {"job_id": job.id, "job": job.payload}


def _done_row(event: JobDone) -> dict[str, Any]:
    job, attempt, process, result, duration_s = event
    return {
        "job_id": job.id,
        "attempt": attempt,
        "processor": process.name,
        "pid": process.pid,
        "job": job.payload,
        "result": result,
        "duration_s": round(duration_s, 6),
    }


#: What comes by the thousand: its name, and what is told of each.
_MANY: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    JobFetched: ("job.fetched", _fetched_row),
    JobDone: ("job.done", _done_row),
}


def _tells_of_what_goes_well(log: FilteringBoundLogger) -> bool:
    # Older versions of structlog cannot say; then every line is put together.
    enabled = getattr(log, "is_enabled_for", None)
    return enabled is None or bool(enabled(logging.INFO))


def _log_event(  # noqa: C901 - one arm an event
    log: FilteringBoundLogger, event: JobEvent
) -> None:
    match event:
        case JobFetched() | JobDone():
            pass  # see _MANY
        case JobRouted(job):
            log.debug("job.routed", job_id=job.id, route=job.route)
        case JobLeased(job, process):
            log.debug("job.leased", **_about(job, process))
        case JobFailed(job, process, failure, retry_in_s):
            log.warning(
                "job.failed",
                **_about(job, process),
                job=job.payload,
                error=failure.error,
                retry_in_s=round(retry_in_s, 3),
                trace=failure.trace,
            )
        case JobQuarantined(job, process, failure):
            log.error(
                "job.quarantined",
                **_about(job, process),
                job=job.payload,
                error=failure.error,
                trace=failure.trace,
            )
        case JobReturned(job, process, reason):
            tell = log.debug if reason == NOT_BEGUN else log.warning
            tell("job.returned", **_about(job, process), reason=reason)
        case JobReleased(job):
            log.info("job.released", job_id=job.id, job=job.payload)
        case JobDropped(job, reason):
            log.warning("job.dropped", job_id=job.id, job=job.payload, reason=reason)
        case StateMoved(text):
            # Not what it is: there may be a token in it.
            log.debug("state.moved", bytes=len(text))
        case JobsSent():
            pass  # each of them is told
        case OutcomeIgnored(key, attempt, reason):
            log.debug("outcome.ignored", key=key, attempt=attempt, reason=reason)


def _about(job: Job, process: Process | None) -> dict[str, Any]:
    about: dict[str, Any] = {"job_id": job.id, "attempt": job.attempt}
    if process is not None:
        # The processor's pid: the line is about the process that did the work.
        about |= {"processor": process.name, "pid": process.pid}
    return about

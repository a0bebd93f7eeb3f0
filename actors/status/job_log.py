"""The log's account of what happened to jobs: one event for each event."""

from __future__ import annotations

import logging
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from actors.demand.job import SHORT_TEXT, json_text
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
from actors.host.logs import cut_text, short_text, shown_text, write
from actors.host.redaction import has_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from actors.demand.job import Job, Process


#: What goes well: a log without the level ``info`` says nothing of it.
_ORDINARY = frozenset((JobFetched, JobRouted, JobLeased, JobDone))
#: What a log without the level ``debug`` says nothing of.
_DETAILS = frozenset((JobRouted, JobLeased, StateMoved, JobsSent, OutcomeIgnored))


def log_events(log: FilteringBoundLogger, events: Iterable[JobEvent]) -> None:
    """Write one line for each event that a reader of the log relies on."""
    untold = _untold(log)
    # What is put together and not yet written: one write for all that comes together.
    ahead: list[str] = []
    for event_type, alike in groupby(events, type):
        if event_type in untold:
            continue
        if event_type is JobFetched:
            rows = _fetched_row, _fetched_members
            _tell_alike(log, "job.fetched", alike, *rows, ahead)
        elif event_type is JobDone:
            _tell_done(log, cast("Iterable[JobDone]", alike), ahead)
        else:
            if ahead:
                write(ahead)
            for event in alike:
                _log_event(log, event)
    if ahead:
        write(ahead)


def _untold(log: FilteringBoundLogger) -> frozenset[type]:
    if _is_told(log, logging.DEBUG):
        return frozenset()
    return _DETAILS if _is_told(log, logging.INFO) else _DETAILS | _ORDINARY


def _tell_done(
    log: FilteringBoundLogger, events: Iterable[JobDone], ahead: list[str]
) -> None:
    for process, its in groupby(events, attrgetter("process")):
        # The processor's pid: the line is about the process that did the work.
        own = log.bind(pid=process.pid)
        members_of = _members_of_done(process)
        _tell_alike(own, "job.done", its, _done_row, members_of, ahead)


def _tell_alike(
    log: FilteringBoundLogger,
    name: str,
    events: Iterable[Any],
    row_of: Callable[[Any], dict[str, Any]],
    members_of: Callable[[Any], str | None],
    ahead: list[str],
) -> None:
    # A log of another kind, as a test's, has one line after another.
    tell_alike = getattr(log, "tell_alike", None)
    if tell_alike is not None:
        tell_alike(name, events, row_of, members_of, ahead)
        return
    for event in events:
        log.info(name, **row_of(event))


def _fetched_row(event: JobFetched) -> dict[str, Any]:
    job = event.job
    return {"job_id": job.id, "job": job.payload}


def _fetched_members(event: JobFetched) -> str | None:
    job = event.job
    text = _shown(job)
    return None if text is None else f'"job_id": {_word(job.id)}, "job": {text}'


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


def _members_of_done(process: Process) -> Callable[[JobDone], str | None]:
    processor = _word(process.name)

    def members(event: JobDone) -> str | None:
        job, attempt, _, result, duration_s = event
        text, told = _shown(job), short_text(result)
        if text is None or told is None:
            return None
        return (
            f'"job_id": {_word(job.id)}, "attempt": {attempt}, '
            f'"processor": {processor}, "job": {text}, "result": {told}, '
            f'"duration_s": {round(duration_s, 6)!r}'
        )

    return members


def _word(word: str | int) -> str:
    text = json_text(word)
    return shown_text(word) if _LETTER in text else text


#: What a text of the journal's has for a letter beyond ASCII; the log shows the letter.
_LETTER = "\\u"


def _shown(job: Job) -> str | None:
    # One that has a secret in it is masked with its line.
    if job.shown:
        return job.shown
    if has_secret_name(job.payload):
        return None
    text = job.written()
    if _LETTER in text:
        text = shown_text(job.payload)
    elif len(text) > SHORT_TEXT:
        text = cut_text(job.payload, text)
    job.shown = text
    return text


def _is_told(log: FilteringBoundLogger, level: int) -> bool:
    # Older versions of structlog cannot say; then every line is put together.
    enabled = getattr(log, "is_enabled_for", None)
    return enabled is None or bool(enabled(level))


def _log_event(  # noqa: C901 - one arm an event
    log: FilteringBoundLogger, event: JobEvent
) -> None:
    match event:
        case JobFetched() | JobDone():
            pass  # they come by the thousand, and are told together
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

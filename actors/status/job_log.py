"""The log's account of what happened to jobs: one event for each event."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

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
from actors.host.logs import (
    cut_text,
    is_long,
    line_end,
    shown_text,
    write,
)
from actors.host.redaction import has_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from actors.demand.job import Job, Process
    from actors.host.logs import Frame


#: What goes well: a log without the level ``info`` says nothing of it.
_ORDINARY = frozenset((JobFetched, JobRouted, JobLeased, JobDone))
#: What a log without the level ``debug`` says nothing of.
_DETAILS = frozenset((JobRouted, JobLeased, StateMoved, JobsSent, OutcomeIgnored))
_QUIET = _DETAILS | _ORDINARY
_ALL_TOLD: frozenset[type] = frozenset()


def log_events(log: FilteringBoundLogger, events: Iterable[JobEvent]) -> None:
    """Write one line for each event that a reader of the log relies on."""
    # A log of another kind, as a test's, has none.
    frame: Frame | None = getattr(log, "frame", None)
    if frame is None or not frame.holds():
        for event in events:
            _log_event(log, event)
        return
    untold = _untold(frame.threshold)
    # What is put together and not yet written: one write for all that comes together.
    ahead: list[str] = []
    end = ""
    for event in events:
        kind = type(event)
        if kind in untold:
            continue
        # They come by the thousand, and are of one moment.
        if make := _MADE_BY_HAND.get(kind):
            end = end or line_end()
            try:
                line = make(frame, event, end)
            except (TypeError, ValueError, RecursionError):
                line = None  # whoever writes any value writes this one
            if line is not None and not is_long(line):
                ahead.append(line)
                continue
        write(ahead)
        _log_event(log, event)
        end = ""
    write(ahead)


def _untold(threshold: int) -> frozenset[type]:
    if threshold <= logging.DEBUG:
        return _ALL_TOLD
    return _DETAILS if threshold <= logging.INFO else _QUIET


def _fetched_line(frame: Frame, event: JobFetched, end: str) -> str | None:
    job = event.job
    if (head := frame.head()) is None:
        return None
    return (
        f'{head}"job_id": {_word(job.id)}, "job": {job.shown or _shown(job)}, '
        f'"event": "job.fetched"{end}'
    )


def _done_line(frame: Frame, event: JobDone, end: str) -> str | None:
    job, attempt, process, result, duration_s = event
    # The processor's pid: the line is about the process that did the work.
    if (head := frame.head(process.pid)) is None:
        return None
    return (
        f'{head}"job_id": {_word(job.id)}, "attempt": {attempt}, '
        f'"processor": {_name(process.name)}, "job": {job.shown or _shown(job)}, '
        f'"result": {_told(result)}, "duration_s": {_seconds(duration_s)}, '
        f'"event": "job.done"{end}'
    )


_MADE_BY_HAND: dict[type, Callable[[Frame, Any, str], str | None]] = {
    JobFetched: _fetched_line,
    JobDone: _done_line,
}


def _word(word: str | int) -> str:
    text = json_text(word)
    return shown_text(word) if _LETTER in text else text


_name = lru_cache(maxsize=256)(_word)

#: What a text of the journal's has for a letter beyond ASCII; the log shows the letter.
_LETTER = "\\u"


def _told(result: Any) -> str:
    kind = type(result)
    if kind is int or (kind is float and result - result == 0.0):
        return repr(result)
    return shown_text(result)


def _seconds(duration_s: float) -> str:
    """What a duration is in JSON, rounded to a microsecond."""
    # Digits are made once here, and twice where a number is rounded first.
    if type(duration_s) is not float:
        return repr(round(duration_s, 6))
    text = f"{duration_s:.6f}"
    if _TINY <= duration_s < _HUGE:
        text = text.rstrip("0")
        return f"{text}0" if text[-1] == "." else text
    return _SHORTEST.get(text) or repr(round(duration_s, 6))


#: Seconds: what is less, or more, has an exponent.
_TINY, _HUGE = 0.0002, 1e9
_SHORTEST = {f"{n / 1e6:.6f}": repr(n / 1e6) for n in range(200)}


def _shown(job: Job) -> str:
    text = job.written()
    if _LETTER in text or has_secret_name(job.payload):
        text = shown_text(job.payload)
    elif len(text) > SHORT_TEXT:
        text = cut_text(job.payload, text)
    job.shown = text
    return text


def _log_event(  # noqa: C901 - one arm an event
    log: FilteringBoundLogger, event: JobEvent
) -> None:
    match event:
        case JobFetched(job):
            log.info("job.fetched", job_id=job.id, job=job.payload)
        case JobDone(job, attempt, process, result, duration_s):
            log.bind(pid=process.pid).info(
                "job.done",
                job_id=job.id,
                attempt=attempt,
                processor=process.name,
                job=job.payload,
                result=result,
                duration_s=round(duration_s, 6),
            )
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

"""The events that a hook may have, as it gets them: plain values in a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.demand.job_events import (
    JobDone,
    JobDropped,
    JobEvent,
    JobFailed,
    JobFetched,
    JobLeased,
    JobQuarantined,
    JobReleased,
    JobReturned,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors.demand.job import Job, Process

#: What happens to a job, by the name that ``[hooks]`` has for it.
JOB_EVENTS: Mapping[str, type] = {
    "fetched": JobFetched,
    "leased": JobLeased,
    "returned": JobReturned,
    "done": JobDone,
    "failed": JobFailed,
    "quarantined": JobQuarantined,
    "released": JobReleased,
    "dropped": JobDropped,
}
#: What happens to a system, by its name; they are lines of the log as well.
FAULTED, FATAL, LOST = "faulted", "fatal", "lost"
SYSTEM_EVENTS: Mapping[str, str] = {
    FAULTED: "a source refuses a fetcher as it is: only a person can change that",
    FATAL: "a stage is given up",
    LOST: "so many events were left out, since a hook was slow, hung or had died",
}
ALL = "all"
#: A later step is over with a job; told to nobody but who traces.
STEP = "step"
#: What ``all`` stands for.
KINDS = (*JOB_EVENTS, *SYSTEM_EVENTS)
#: Every key of ``[hooks]``.
NAMES = (*KINDS, ALL)

#: What ``notify`` tells of, and what tells.
NOTIFIED = ("quarantined", FAULTED, FATAL)
NOTIFIER = "actors.hooks.notify:tell"

_NAMES_OF = {kind: name for name, kind in JOB_EVENTS.items()}


def wanted_by(hooks: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The events that somebody wants to hear of."""
    return frozenset(KINDS if ALL in hooks else hooks)


def event_of(  # noqa: C901 - one arm an event
    fetcher: str, event: JobEvent, at: float
) -> dict[str, Any] | None:
    """An event as hooks get it; None for one that is only the journal's.

    Args:
        fetcher: Whose job it is.
        event: What happened to it.
        at: When it was kept, in seconds since the epoch.
    """
    name = _NAMES_OF.get(type(event))
    if name is None:
        return None
    told: dict[str, Any] = {"event": name, "at": at, "fetcher": fetcher}
    match event:
        case JobFetched(job) | JobReleased(job):
            told |= _about(job)
        case JobLeased(job, process):
            told |= _about(job, process)
        case JobDropped(job, reason):
            told |= _about(job) | {"reason": reason}
        case JobReturned(job, process, reason):
            told |= _about(job, process) | {"reason": reason}
        case JobDone(job, _, process, result, duration_s):
            told |= _about(job, process)
            told |= {"result": result, "duration_s": duration_s}
        case JobFailed(job, process, failure, retry_in_s):
            told |= _about(job, process) | {"retry_in_s": retry_in_s}
            told |= {"error": failure.error, "trace": failure.trace}
        case JobQuarantined(job, process, failure):
            told |= _about(job, process)
            told |= {"error": failure.error, "trace": failure.trace}
        case _:
            return None
    return told


def _about(job: Job, process: Process | None = None) -> dict[str, Any]:
    about = {"key": job.key, "job_id": job.id, "job": job.payload}
    if process is not None:
        about |= {"processor": process.name, "pid": process.pid}
    return about


def event_of_line(line: Mapping[str, Any], at: float) -> dict[str, Any] | None:
    """What a line of the log is to hooks; None for nothing."""
    told: dict[str, Any] = {"at": at}
    match line:
        case {"event": "fetcher.polled", "outcome": "faulted", "fetcher": fetcher}:
            told |= {"event": FAULTED, "fetcher": fetcher, "error": line.get("error")}
        case {"event": "stage.fatal"}:
            told |= {"event": FATAL, "stage": line.get("stage", "")}
            told |= {"error": line.get("error") or line.get("reason")}
        case {"event": "system.failed"}:
            told |= {"event": FATAL, "stage": "system", "error": line.get("error")}
        case _:
            return None
    return told

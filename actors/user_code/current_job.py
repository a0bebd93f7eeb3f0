"""What a job function can ask about its own job, and tell of it, while it runs.

Outside a job, as in a test that calls the function by itself, nothing is asked for and
what is told goes nowhere.
"""

from __future__ import annotations

from contextvars import ContextVar


class JobRun:
    """One run of a job, or of a list of jobs, as its function and its stage see it.

    The stage writes ``cancelled`` and the function reads it, in another thread.

    Attributes:
        began_at: Monotonic seconds.
        cancelled: Whether the result is not wanted any more.
    """

    __slots__ = ("began_at", "cancelled")

    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.cancelled = False


#: A context variable: each thread has its own value, and each task of a loop; what
#: ``asyncio.to_thread`` calls has that of its task.
_current: ContextVar[JobRun | None] = ContextVar("lowtide_job", default=None)


def begin(run: JobRun) -> None:
    """Let this be the run that is asked about in this thread, or this task."""
    _current.set(run)


def cancelled() -> bool:
    """Whether the job that calls this should end: its result is not wanted any more.

    That is so once it is over ``--job-timeout``. A job in a thread, which nobody can
    stop, may look now and then, and return. Outside a job it is false.
    """
    run = _current.get()
    return run is not None and run.cancelled

"""Demand-driven job polling on actors."""

from __future__ import annotations

import sys


def _put_users_modules_last() -> None:
    # ``python -m`` looks in the working directory first: a file that is called
    # queue.py there would be imported by whatever we import. While the package of
    # what -m names is imported, that stands for the name of the program. First of
    # all: what is imported here may have a namesake there, too.
    named = any(each.removeprefix("-m").startswith("actors.") for each in sys.orig_argv)
    if sys.argv[:1] == ["-m"] and named and not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
        from actors.user_code.imports import guard  # noqa: PLC0415

        guard()


_put_users_modules_last()

from importlib import import_module  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

if TYPE_CHECKING:
    from actors.commands.start_error import StartError
    from actors.job_functions import DoneEvent, FailedEvent, QuarantinedEvent
    from actors.journal.follow import MissedError
    from actors.pipeline import (
        ConfigError,
        Exit,
        Fetcher,
        Pipeline,
        Processor,
        RunningError,
    )
    from actors.processor.process_call import cancelled, progress

__all__ = [
    "ConfigError",
    "DoneEvent",
    "Exit",
    "FailedEvent",
    "Fetcher",
    "MissedError",
    "Pipeline",
    "Processor",
    "QuarantinedEvent",
    "RunningError",
    "StartError",
    "cancelled",
    "progress",
]

_WHERE = dict.fromkeys(__all__, "actors.pipeline") | {
    "DoneEvent": "actors.job_functions",
    "FailedEvent": "actors.job_functions",
    "MissedError": "actors.journal.follow",
    "QuarantinedEvent": "actors.job_functions",
    "StartError": "actors.commands.start_error",
    "cancelled": "actors.processor.process_call",
    "progress": "actors.processor.process_call",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    # Late, so that a part of the package does not import all of it.
    if name not in _WHERE:
        raise AttributeError(f"module 'actors' has no attribute {name!r}")
    # Kept: a job may ask for one of these ten thousand times a second.
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value

"""How far a job says it is: rules only.

What a job tells stays in its processor, where ``status`` finds the last of it. Nothing
is sent when it is told, so a job may tell as often as it likes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.host.texts import class_name, encodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.demand.consumer import Task
    from actors.status.model import JobProgress

#: Characters of a text or an id that are shown.
MOST_CHARACTERS = 200
#: Jobs of one processor that are shown, those that began first.
MOST_JOBS = 10


class Progress(NamedTuple):
    """What a job has told.

    Attributes:
        fraction: From 0 to 1; none where it is not known.
    """

    fraction: float | None
    text: str


class Run(Protocol):
    """A run of a job, or of several in one call.

    Attributes:
        alive_at: When it last told something new, in monotonic seconds.
        told: What that was.
    """

    alive_at: float
    told: Progress | None


def read_progress(fraction: Any, text: Any) -> Progress:
    """What ``progress`` was called with, within its bounds.

    Raises:
        TypeError: It is no number, or no text.
    """
    # Not ``isinstance``, which asks a value for its ``__class__``.
    if not issubclass(type(text), str):
        raise TypeError(f"progress: text must be a str, got {class_name(text)}")
    # A str of a class of its own may have made something else of its slices.
    short = str.__getitem__(text, slice(MOST_CHARACTERS))
    return Progress(_fraction_of(fraction), short)


def _fraction_of(value: Any) -> float | None:
    if value is None:
        return None
    type_given = type(value)
    number = None
    if type_given is float or type_given is int:
        number = value
    elif not issubclass(type_given, (str, bytes, bytearray)):
        # A Decimal, a Fraction, and what numpy has.
        try:
            number = float(value)
        except Exception:  # noqa: BLE001 - the user's class
            number = None
    if number is None:
        raise TypeError(
            "progress: fraction must be a number from 0 to 1, or None, "
            f"got {class_name(value)}"
        ) from None
    # This order: a whole number may be too large for a float.
    within = min(max(number, 0), 1)
    return None if math.isnan(within) else float(within)


def in_words(told: Progress) -> str:
    """What a job has told, for people."""
    text = encodable(told.text)
    if told.fraction is None:
        return text or "?"
    percent = f"{math.floor(told.fraction * 100)}%"
    return f"{percent} {text}" if text else percent


def shown(
    runs: Mapping[int, Run], tasks: Mapping[int, Task], now: float
) -> list[JobProgress]:
    """What the runs of a processor have told: a run of several jobs has one line.

    Args:
        runs: By ticket; those of one call have the same.
        tasks: By ticket: the jobs that the processor holds.
        now: Monotonic seconds.
    """
    found: list[JobProgress] = []
    seen: dict[int, JobProgress] = {}
    for ticket, run in runs.items():
        told, task = run.told, tasks.get(ticket)
        if told is None or task is None:
            continue
        if (first := seen.get(id(run))) is not None:
            first["jobs"] += 1
            continue
        if len(found) == MOST_JOBS:
            continue
        name = task.assignment.id
        line: JobProgress = {
            "taken_from": task.source,
            "id": encodable(name[:MOST_CHARACTERS]) if isinstance(name, str) else name,
            "jobs": 1,
            "fraction": told.fraction,
            "text": encodable(told.text),
            "age_s": round(max(0.0, now - run.alive_at), 3),
        }
        seen[id(run)] = line
        found.append(line)
    return found

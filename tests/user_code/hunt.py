"""A function of each role for each odd one, and the functions around them.

Those are found by name: ``process_pool`` is ``odd.pool`` as a ``process``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.user_code.odd import TABLE

#: Jobs of each source; ``process`` is odd for the second.
JOBS = 3
ODD_JOB = 2


def once(name: str) -> bool:
    """Whether nobody of this test, in whichever process, has asked this before."""
    try:
        path = f"{os.environ['TEST_EFFECTS']}.{name}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def source(name: str, count: int = JOBS, odd: str = "") -> Any:
    """Hand out jobs once; oddly before that, where it is to be odd."""
    if odd == "fetch" and once(f"fetch.{name}"):
        TABLE[name].function({"id": ODD_JOB})
    if not source.__dict__.get(name):
        source.__dict__[name] = True
        yield from ({"id": number} for number in range(1, count + 1))


def told(job: Any, outcome: Any, name: str, count: int = JOBS, odd: str = "") -> None:
    """Hear what became of a job, oddly for one."""
    if job["id"] == ODD_JOB and once(f"settle.{name}"):
        TABLE[name].function(dict(job))


def plain(job: Any) -> Any:
    """Do a job as anybody would."""
    return job["id"]


def _process(name: str, job: Any) -> Any:
    number = job["id"]
    return TABLE[name].function(job) if number == ODD_JOB else number


def _step(name: str, number: Any) -> Any:
    if number == ODD_JOB and once(f"step.{name}"):
        TABLE[name].function({"id": number})
    return number


def _batch(name: str, jobs: Any) -> Any:
    return [_process(name, job) for job in jobs]


def _partition(name: str, job: Any) -> Any:
    if job["id"] == ODD_JOB and once(f"partition.{name}"):
        TABLE[name].function(dict(job))
    return job["id"]


def _selector(name: str, job: Any) -> Any:
    return bool(_partition(name, job))


def _demand(name: str, ask: Any) -> None:
    # Before: one that raises asks for no more, and a person has to.
    ask(JOBS)
    if once(f"demand.{name}"):
        TABLE[name].function({"id": ODD_JOB})


def _named(role: Callable[..., Any], name: str, word: str) -> Callable[..., Any]:
    # A function with one argument, as each role is called.
    def call(value: Any) -> Any:
        return role(name, value)

    call.__name__ = call.__qualname__ = f"{word}_{name}"
    return call


for _name in TABLE:
    for _word, _role in (
        ("process", _process),
        ("step", _step),
        ("batch", _batch),
        ("partition", _partition),
        ("selector", _selector),
        ("demand", _demand),
    ):
        globals()[f"{_word}_{_name}"] = _named(_role, _name, _word)

"""Who gets which job, for the system tests, as a user would write it."""

import os
from typing import Any


def parity(job: Any) -> str:
    """Which of two partitions a number belongs to."""
    return "odd" if job["number"] % 2 else "even"


def is_large(job: Any) -> bool:
    """Whether a number is worth an audit."""
    return bool(job["number"] >= 100)


def who(job: Any) -> list[int]:
    """The number, and the process that it came to."""
    return [job["number"], os.getpid()]


def no_four(job: Any) -> bool:
    """Fail over 4."""
    if job["number"] == 4:
        raise ValueError("4 has no place")
    return True


def ends_at_seven(job: Any) -> str:
    """End its process over one of the numbers."""
    if job["number"] == 7:
        os._exit(3)
    return parity(job)


def ten() -> Any:
    """Ten numbers in one answer; the same ones each time."""
    yield from ({"id": n, "number": n} for n in range(1, 11))

"""Steps of pipelines for the system tests, as a user would write them."""

import math
import os
import time
from pathlib import Path
from typing import Any


def sqrt(job: Any) -> Any:
    """A number's root, with the number that it is of."""
    return {"of": job["number"], "root": math.sqrt(job["number"])}


def report(job: Any) -> str:
    """A line about a root."""
    return f"{job['of']:g} is {job['root']:g} squared"


def slow_report(job: Any) -> str:
    """A line about a root, after a while."""
    time.sleep(0.3)
    return report(job)


def even_only(job: Any) -> Any:
    """A root of an even number; nothing for an odd one."""
    return None if job["number"] % 2 else sqrt(job)


def refuse_nine(job: Any) -> str:
    """A line about a root, but not about 3."""
    if job["root"] == 3:
        raise ValueError("no 3 here")
    return report(job)


def die_once(job: Any) -> str:
    """End the process at the first call of all; after that, a line."""
    mark = Path(os.environ["LOWTIDE_STATE_DIR"], "died")
    if not mark.exists():
        mark.touch()
        os._exit(7)
    return report(job)


def sqrt_die_once(job: Any) -> Any:
    """End the process at the first call of all; after that, a root."""
    die_once({"of": 0, "root": 0})
    return sqrt(job)

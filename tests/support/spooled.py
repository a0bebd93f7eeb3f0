"""Jobs that lie in a directory, one file each, and what is done with them."""

import json
from pathlib import Path
from typing import Any


def fetch(directory: str) -> Any:
    """Take the first job of the directory."""
    for path in sorted(Path(directory).glob("*.json")):
        job = json.loads(path.read_text())
        path.unlink()
        return job
    return None


def double(job: Any) -> Any:
    """Twice its id."""
    return 2 * job["id"]


def passed(job: Any) -> Any:
    """The job as it is, for the next step."""
    return job


def is_odd(job: Any) -> bool:
    """Whether its id is odd."""
    return bool(job["id"] % 2)


def refuse(job: Any) -> Any:
    """Fail, but for good ones."""
    if not job.get("good"):
        raise ValueError(job["id"])
    return double(job)


def two_at_first(ask: Any) -> None:
    """Ask for two jobs, once."""
    ask(2)


_asks: list[Any] = []


def keep_asking(ask: Any) -> None:
    """Ask for one job, and leave the rest to `one_more`."""
    _asks.append(ask)
    ask(1)


def one_more(job: Any) -> Any:
    """Twice its id; ask for another job while the id is below 3."""
    if job["id"] < 3:
        _asks[-1](1)
    return double(job)


def fail_to_ask(ask: Any) -> None:
    """Ask for what cannot be asked for."""
    ask(1, "nobody")

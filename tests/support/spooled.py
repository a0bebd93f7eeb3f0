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


def refuse(job: Any) -> Any:
    """Fail, but for good ones."""
    if not job.get("good"):
        raise ValueError(job["id"])
    return double(job)

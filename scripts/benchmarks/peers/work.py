"""What a task of a peer does: the trivial job, or in bulk a list of them."""

from __future__ import annotations

from typing import Any

from benchmarks import counts, jobs


def work(job: Any) -> float:
    """Take the root, or the roots, and count what is done."""
    several = job if isinstance(job, list) else [job]
    result = 0.0
    for each in several:
        result = jobs.root(each)
    counts.add(len(several))
    return result

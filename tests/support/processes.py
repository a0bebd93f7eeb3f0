"""What the kernel says about processes."""

from __future__ import annotations

from pathlib import Path


def parent(pid: int) -> int:
    """Who started a process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])

"""What the kernel says about processes."""

from __future__ import annotations

from pathlib import Path


def parent(pid: int) -> int:
    """Who started a process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    """Whom a process has started, those that have ended and wait for it among them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if parent(int(path.name)) == pid:
                found.append(int(path.name))
        except OSError:
            continue
    return found


def watched_by(pid: int) -> set[int]:
    """Of whom a process is told when they end: whose pidfds it has."""
    found = set()
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        found |= {int(each.split()[1]) for each in lines if each.startswith("Pid:")}
    return found

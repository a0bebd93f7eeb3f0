"""The comparison of push, bus and pull, as a person runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parents[2] / "scripts" / "_strategies.py"


@pytest.mark.alone
def test_only_pull_keeps_what_is_in_flight_small() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--seconds", "1.5"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[2:]}
    most = {name: int(row[2]) for name, row in rows.items()}
    assert list(rows) == ["push", "bus", "pull"]
    # Its buffer of 10, and the one job that the processor has.
    assert most["pull"] <= 11
    assert most["push"] > 2 * most["pull"]
    assert most["bus"] > 2 * most["pull"]
    assert all(int(row[1]) > 0 for row in rows.values())

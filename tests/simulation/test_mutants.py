"""The eleven planted bugs: each still fits the code, and the simulation finds each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_planted_bug_is_caught_by_the_invariant_that_the_table_names() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "mutants")],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    caught = {tuple(line.split("|")[1:3]) for line in done.stdout.splitlines()[2:]}
    table = (Path(__file__).parent / "README.md").read_text().partition("## Planted")[2]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(caught) == 11
    assert caught == {tuple(line.split("|")[1:3]) for line in lines}

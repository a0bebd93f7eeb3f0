"""What is imported once for all stages, and what is left to each of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

#: What the bundled source of numbers asks with.
ASKS = {"domain.number_api", "domain.http"}


@pytest.mark.parametrize(
    ("sources", "functions", "imported"),
    [
        (["domain.numbers:fetch"], [], {"domain.numbers"} | ASKS),
        # Who only takes roots asks for nothing.
        ([], ["domain.numbers:process"], {"domain.numbers"}),
        (["own:fetch"], ["own:process"], set()),
    ],
)
def test_what_is_bundled_is_imported_for_all_and_nothing_of_a_users(
    sources: list[str], functions: list[str], imported: set[str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text("raise SystemExit('imported')\n")
    program = (
        "import sys; from actors.user_code.imports import import_bundled;"
        f"import_bundled({sources}, {functions});"
        f"print(*{ASKS | {'domain.numbers', 'own'}} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )

    assert set(done.stdout.split()) == imported


def test_the_version_of_a_module_in_the_working_directory_is_told_before_its_import(
    tmp_path: Path,
) -> None:
    """A leader compares it with a machine's that joins, and runs none of it itself."""
    (tmp_path / "jobs.py").write_text("def process(job):\n    return job\n")
    program = """
from actors.user_code import functions
from actors.user_code.versions import version_of
functions.find_last()
print(version_of("jobs"))
print(version_of("nowhere"))
"""

    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert told[0].startswith("no version (")
    assert "not there" not in told[0]
    assert told[1] == "no version (not there)"

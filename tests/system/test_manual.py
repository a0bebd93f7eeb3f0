"""``ask`` and ``wait`` from another terminal, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]


def manual(directory: Path, url: str, demand: str = "manual") -> str:
    """A configuration in which two processes ask when they are told to."""
    file = directory / "manual.toml"
    file.write_text(
        'every_s = 0.1\n[[fetcher]]\nname = "numbers"\n'
        f'options = {{ url = "{url}" }}\n'
        f'[[processor]]\nname = "sqrt"\ncount = 2\ndemand = "{demand}"\n'
    )
    return str(file)


def test_a_kind_s_processes_share_what_is_asked_for(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "9", "--every", "0")
    system = start_system("--config", manual(tmp_path, numbers.url))
    system.wait_for("job.fetched", count=9)

    code, out, _ = system.command("ask", "sqrt", "5")

    assert (code, out) == (0, "asked sqrt-1 3, sqrt-2 2\n")
    done = system.wait_for("job.done", count=5)
    by = sorted(each["processor"] for each in done)
    assert by == ["sqrt-1"] * 3 + ["sqrt-2"] * 2
    assert system.status()["why"] == (
        "numbers has 4 jobs: sqrt-1 asks on command; lowtide ask sqrt-1 N does"
    )


def test_a_wait_that_takes_too_long_says_what_is_left(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--config", manual(tmp_path, numbers.url))
    system.wait_for("job.fetched", count=2)

    late = system.command("wait", "--within", "0.2")
    system.command("ask", "sqrt-1", "2")
    in_time = system.command("wait", "numbers")

    assert late[:2] == (1, "")
    assert late[2].startswith("lowtide: no answer within 0.2 s\nnumbers has 2 jobs: ")
    assert in_time == (0, "All jobs that numbers had fetched are finished.\n", "")
    assert len(system.wait_for("job.done", count=2)) == 2


def test_a_function_that_fails_to_ask_is_told_and_a_person_can_still_ask(
    start_numbers: Start, start_system: Start, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    config = manual(tmp_path, numbers.url, "spooled:fail_to_ask")

    system = start_system("--config", config)
    [failed, _] = system.wait_for("demand.failed", count=2)
    system.command("ask", "sqrt-1", "1")

    assert failed["error"] == "UnknownNameError: expected one of numbers, got 'nobody'"
    assert "in fail_to_ask" in failed["trace"]
    system.wait_for("job.done")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ask", "root", "1"], "no processor 'root' is running, only: processor-1"),
        (["ask", "processor", "-1"], "count must be a whole number from 0, got -1"),
        (
            ["ask", "processor-1", "1"],
            "processor asks by itself: its table would have to say demand = 'manual'",
        ),
        (["wait", "nobody"], "there is no fetcher nobody, only: numbers"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    words: list[str], complaint: str, start_system: Start
) -> None:
    system = start_system("--processors", "1")

    assert system.command(*words) == (2, "", f"lowtide: {complaint}\n")

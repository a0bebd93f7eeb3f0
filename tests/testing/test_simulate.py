"""``simulate``: a user's configuration on virtual time, from the command line."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path


def simulate(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actors.main", "simulate", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
        check=False,
    )


def test_a_seed_gives_the_same_account_again(env: dict[str, str]) -> None:
    first = simulate(env, "--seed", "4", "--hours", "0.5")

    again = simulate(env, "--seed", "4", "--hours", "0.5")

    assert first.returncode == 0, first.stderr
    assert again.stdout == first.stdout
    assert "handed out = " in first.stdout


def test_a_person_at_a_terminal_is_told_how_far_it_is(env: dict[str, str]) -> None:
    master, terminal = pty.openpty()
    words = [sys.executable, "-m", "actors.main", "simulate", "--hours", "0.5"]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=terminal, env=env
    ) as process:
        os.close(terminal)
        told = b""
        with contextlib.suppress(OSError):  # its end, on Linux
            while chunk := os.read(master, 4096):
                told += chunk
    os.close(master)

    assert process.returncode == 0
    assert b" of 0.5 virtual hours, " in told
    assert told.endswith(b"\r\x1b[K")


def test_sample_jobs_go_through_the_users_function(
    env: dict[str, str], tmp_path: Path
) -> None:
    samples = tmp_path / "jobs.jsonl"
    samples.write_text('{"id": "a"}\n\n{"id": 2, "good": true}\n')

    done = simulate(
        env, "--jobs", str(samples), "--process", "spooled:refuse", "--fetch", "a:b"
    )

    assert done.returncode == 0, done.stderr
    assert " 0 quarantined" not in done.stdout


def test_a_fetcher_on_demand_gets_every_job_to_its_end(
    env: dict[str, str], tmp_path: Path
) -> None:
    samples, config = tmp_path / "jobs.jsonl", tmp_path / "lowtide.toml"
    samples.write_text('{"id": 1, "number": 4}\n')
    config.write_text('[[fetcher]]\nname = "shared"\non_demand = true\n')

    done = simulate(env, "--config", str(config), "--jobs", str(samples))

    assert done.returncode == 0, done.stderr
    assert " done, 0 buffered, 0 in_flight, 0 retrying, " in done.stdout


def test_a_source_is_never_asked_for_jobs(env: dict[str, str]) -> None:
    done = simulate(env, "--fetch", "spooled:fetch")

    assert done.returncode == 2
    assert "simulate does not call fetch" in done.stderr


def test_a_bad_sample_is_named_with_its_line(
    env: dict[str, str], tmp_path: Path
) -> None:
    samples = tmp_path / "jobs.jsonl"
    samples.write_text('{"id": 1}\nnot JSON\n')

    done = simulate(env, "--jobs", str(samples))

    assert done.returncode == 2
    assert f"{samples}:2: expected JSON" in done.stderr


def test_a_violation_prints_the_command_that_shows_it_again(
    env: dict[str, str], tmp_path: Path
) -> None:
    program = tmp_path / "broken.py"
    program.write_text(
        "import sys\n"
        "from actors.demand.buffer import Buffer\n"
        "from actors.main import main\n"
        "Buffer.oldest_first = Buffer.take\n"
        "def take(self, count):\n"
        "    self._jobs.reverse()\n"
        "    taken = self.oldest_first(count)\n"
        "    self._jobs.reverse()\n"
        "    return taken\n"
        "Buffer.take = take\n"
        "sys.exit(main())\n"
    )

    # One processor: jobs are to wait beside one another, whatever the seed.
    words = ["simulate", "--seed", "1", "--hours", "24", "--processors", "1"]
    done = subprocess.run(
        [sys.executable, str(program), *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
        check=False,
    )

    assert done.returncode == 1, done.stdout
    assert "seed 1: order: " in done.stderr
    replay = "python -m actors.main simulate --seed 1 --hours 24 --processors 1"
    assert f"to see it again: {replay}" in done.stderr

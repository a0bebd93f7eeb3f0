"""The page of settings is what the declarations say, and one declaration is enough."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.config.model import FETCHER_OPTIONS, LIVE_OPTIONS, SETTINGS
from scripts.settings_table import page
from tests.docs.blocks import inline_code
from tests.docs.test_shown import OPTION

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_script_prints() -> None:
    printed = subprocess.run(
        [ROOT / "scripts" / "settings_table"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed == f"{page()}\n" == (ROOT / "docs" / "settings.md").read_text()


def test_every_file_that_contributing_names_is_there() -> None:
    named = {
        code
        for document, code in inline_code()
        if document == "CONTRIBUTING.md"
        and re.fullmatch(r"(actors|domain|tests|scripts|docs)/[\w/.]*", code)
    }

    assert len(named) > 10
    assert [each for each in sorted(named) if not (ROOT / each).exists()] == []


def test_no_two_options_have_one_flag() -> None:
    run = [each.flag for each in SETTINGS.values()]
    change = [each.flag for each in LIVE_OPTIONS.values()]

    assert len(run) == len(set(run))
    assert len(change) == len(set(change))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the program with one declaration more says of it."""
    assert "poll_jobs" not in FETCHER_OPTIONS
    copy = tmp_path_factory.mktemp("copy")
    for name in ("actors", "domain", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    model = copy / "actors" / "config" / "model.py"
    before, field, after = model.read_text().partition("    idle_cap_s: ")
    model.write_text(before + OPTION.text + field + after)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "option_places.py"],
        cwd=copy,
        env={k: v for k, v in os.environ.items() if not k.startswith("LOWTIDE_")}
        | {"PYTHONPATH": str(copy), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    places: dict[str, Any] = json.loads(done.stdout)
    return places


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("run", "--poll-jobs N the most jobs to keep of one poll (all) (environment: "),
        ("run", "(environment: LOWTIDE_POLL_JOBS)"),
        ("set", "--poll-jobs N|none the most jobs to keep of one poll (all)"),
        ("default", "fetcher.numbers.poll_jobs - default"),
        ("flag", "fetcher.numbers.poll_jobs 6 --poll-jobs"),
        ("variable", "fetcher.numbers.poll_jobs 4 LOWTIDE_POLL_JOBS"),
        ("top", "fetcher.a.poll_jobs 9 good.toml:1"),
        ("table", "fetcher.a.poll_jobs 8 own.toml:3"),
        ("bad", "--poll-jobs must be a whole number from 1, got '-1'"),
        ("bad", "bad.toml:4: poll_jobs must be a whole number from 1, got 'x'"),
        ("bad set", "--poll-jobs must be a whole number from 1, or none, got '0'"),
        ("misspelt", "unrecognized arguments: --pol-jobs 3; did you mean --poll-jobs?"),
        ("page", "| `--poll-jobs N` | `LOWTIDE_POLL_JOBS` | `poll_jobs` |"),
        ("page", "| `poll_jobs` | a whole number from 1 | as `--poll-jobs` | `--poll-"),
    ],
)
def test_an_option_that_is_declared_once_is_everywhere(
    place: str, text: str, found: dict[str, Any]
) -> None:
    assert text in found[place]


def test_what_set_may_change_reaches_the_stages(found: dict[str, Any]) -> None:
    [tuned] = found["tuned"]

    assert (tuned["stages"], tuned["poll_jobs"]) == (["source"], 7)

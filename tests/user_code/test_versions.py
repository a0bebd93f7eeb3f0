"""The version of the code behind a function: its source, and what that imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.user_code.versions import changed, differing, version_of, versions_of

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return put


@pytest.mark.parametrize(
    "statement",
    [
        "import lt_helper",
        "import json, lt_helper as h  # of ours",
        "from lt_helper import x",
        "def process(job):\n    from lt_helper import x\n    return x",
        "import lt_middle",
        "import lt_package.part",
        "from lt_package import part",
    ],
)
def test_what_a_module_imports_from_beside_it_counts(
    statement: str, write: Write
) -> None:
    write("lt_jobs.py", f"{statement}\n")
    write("lt_middle.py", "import lt_helper, lt_jobs\n")
    write("lt_package/__init__.py", "")
    write("lt_package/part.py", "from lt_helper import x\n")
    write("lt_helper.py", "x = 1\n")
    write("lt_stranger.py", "y = 1\n")
    first = version_of("lt_jobs")

    write("lt_stranger.py", "y = 2\n")
    same = version_of("lt_jobs")
    write("lt_helper.py", "x = 2\n")
    other = version_of("lt_jobs")

    assert first == same
    assert first != other


def test_a_package_and_what_it_imports_from_beside_it_count(write: Write) -> None:
    write("lt_package/__init__.py", "")
    write("lt_package/part.py", "import lt_helper\n")
    write("lt_helper.py", "x = 1\n")
    first = version_of("lt_package.part")

    write("lt_helper.py", "x = 2\n")

    assert version_of("lt_package.part") != first


def test_the_same_sources_elsewhere_have_the_same_version(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("lt_jobs.py", "import lt_helper\n")
    write("lt_helper.py", "x = 1\n")
    here = version_of("lt_jobs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("lt_jobs.py", "lt_helper.py"):
        (elsewhere / name).write_text((tmp_path / name).read_text())

    monkeypatch.syspath_prepend(elsewhere)

    assert version_of("lt_jobs") == here


def test_what_differs_is_named_with_both_versions(write: Write) -> None:
    write("lt_jobs.py", "x = 1\n")
    names = ["lt_jobs:process", "lt_jobs:ask"]
    ours = versions_of(names)

    wrong = differing(names, {**ours, "lt_jobs:ask": "1.0 (3f)"}, "at the leader")

    assert differing(names, ours, "at the leader") is None
    version = ours["lt_jobs:ask"]
    assert wrong == (
        f"another version of the code: lt_jobs:ask is {version} here and 1.0 (3f) at "
        "the leader"
    )


def test_what_has_changed_since_is_named(write: Write) -> None:
    write("lt_jobs.py", "import lt_helper\n")
    write("lt_helper.py", "x = 1\n")
    compared = versions_of(["lt_jobs:process"])
    before = changed(compared)

    write("lt_helper.py", "x = 2\n")

    assert before is None
    assert "lt_jobs:process has changed" in (changed(compared) or "")
    assert changed({}) is None

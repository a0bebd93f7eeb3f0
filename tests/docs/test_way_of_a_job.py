"""The docs name the files that a job passes, and no file that is not there."""

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from actors.testing import Harness
from tests.docs.blocks import ROOT

#: Not on a job's way: what stands for the world, and unpickles messages for it.
WORLD = ("actors/testing/", "actors/host/unpickling.py")
MOST = 25
DOCUMENTS = (
    *sorted(ROOT.glob("docs/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("tests/*/README.md")),
)
#: Names that an example gives to a file of the reader's.
EXAMPLES = {"actors/demand/fair.py"}
PATH = re.compile(r"\b(?:actors|domain|tests|scripts)/[\w/]+\.(?:py|md|toml|json)\b")


def entered() -> set[str]:
    """The files of ours that a job passes, from the poll that finds it on."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT / "actors"):
            files.add(str(path.relative_to(ROOT)))

    with Harness() as pipeline:
        pipeline.push([{"id": 1}])
        pipeline.run_until_idle()  # the first time, more is asked
        pipeline.push([{"id": 2}])
        before = sys.getprofile()
        gc.collect()
        gc.disable()  # what other tests left is closed by code that is not on the way
        sys.setprofile(note)
        try:
            pipeline.run_until_idle()
        finally:
            sys.setprofile(before)
            gc.enable()
        assert [each.job["id"] for each in pipeline.done] == [1, 2]
    return {each for each in files if not each.startswith(WORLD)}


def section(name: str) -> str:
    text = (ROOT / "docs/architecture.md").read_text()
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_a_job_passes_few_files_and_the_docs_name_each() -> None:
    files, named = entered(), set(PATH.findall(section("The way of one job")))

    assert len(files) <= MOST, sorted(files)
    assert files <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)
def test_a_file_that_the_docs_name_is_there(document: Path) -> None:
    named = set(PATH.findall(document.read_text())) - EXAMPLES

    assert {each for each in named if not (ROOT / each).exists()} == set()

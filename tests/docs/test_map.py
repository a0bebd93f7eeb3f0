"""The map of the rooms agrees with the tree, and so do the paths that docs name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
ARCHITECTURE = TOP / "docs/architecture.md"
PAGES = [TOP / "CONTRIBUTING.md", TOP / "README.md", *sorted(TOP.glob("docs/*.md"))]
#: What a page may name a file below.
ROOTS = [TOP, TOP / "actors", TOP / "docs"]
#: A path in code, with a folder and an ending of ours.
PATH = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:py|toml|json|yml|service))`")
#: Whatever a reader makes, in an example.
OF_A_READER = {"tests/test_mine.py"}


def test_each_room_has_its_line_on_the_map() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", ARCHITECTURE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(actors/\w+/)`", row)}
    rooms = {
        f"actors/{each.name}/"
        for each in (TOP / "actors").iterdir()
        if (each / "__init__.py").is_file()
    }

    assert named == rooms


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    names = {*PATH.findall(page.read_text())} - OF_A_READER

    gone = [n for n in names if not any((root / n).is_file() for root in ROOTS)]

    assert sorted(gone) == []

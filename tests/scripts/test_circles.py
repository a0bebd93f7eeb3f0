"""The check that no files import one another in a circle."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("grimp", reason="it comes with import-linter: pip install .[dev]")

from scripts._circles import circle

FILES = {
    "__init__": "",
    "first": "from planted.second import TWO\n",
    "second": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from planted.third import Three\n"
        "TWO = 2\n"
    ),
    "third": "def three():\n    from planted import first\n",
}


def planted(path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    package = path / "planted"
    package.mkdir()
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(path)


def test_a_circle_is_found_whether_it_is_for_types_or_comes_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(tmp_path, monkeypatch, **FILES)

    found = circle("planted")

    assert found[0] == found[-1]
    assert set(found) == {"planted.first", "planted.second", "planted.third"}


def test_where_imports_go_one_way_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(tmp_path, monkeypatch, **FILES | {"third": ""})

    assert circle("planted") == []

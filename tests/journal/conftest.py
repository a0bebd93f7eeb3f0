"""A journal's file, made."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.journal.file import (
    JournalFile,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "lowtide.db"
    JournalFile(file).prepare()
    return file

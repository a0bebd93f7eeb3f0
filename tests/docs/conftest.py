"""What the docs' tests share: the modules that the docs show, in one directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import blocks


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every file that a block names, as it stands there."""
    directory = tmp_path_factory.mktemp("shown")
    for block in blocks():
        if block.name and "/" not in block.name:
            (directory / block.name).write_text(block.text)
    return directory

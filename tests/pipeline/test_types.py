"""The types of the library say what the options are."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

from actors import settings
from actors.config.model import SETTINGS
from scripts.settings_types import module

ROOT = Path(__file__).parents[2]


def test_the_settings_by_name_are_what_the_script_prints() -> None:
    assert (ROOT / "actors" / "settings.py").read_text() == module(), (
        "an option was added or changed: scripts/settings_types > actors/settings.py"
    )


def test_the_types_are_there_for_who_asks_for_them() -> None:
    hints = get_type_hints(settings.PipelineSettings)
    assert hints.keys() == SETTINGS.keys() | {"hooks"}
    assert "batch_size" in get_type_hints(settings.ProcessorSettings)
    assert "settle" in get_type_hints(settings.FetcherSettings)
    assert "selector" in get_type_hints(settings.SourceSettings)

"""The schema of ``status --json`` in the docs is that of the types, and holds.

That it holds in every state which a test reaches, tests/conftest.py sees to.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.status.model import FetcherAnswer, FetcherStatus, SystemStatus
from scripts.status_schema import schema
from tests.support.schema import mistakes

if TYPE_CHECKING:
    from actors.testing import Harness

ROOT = Path(__file__).parents[2]


def test_the_schema_in_the_docs_is_the_one_that_the_script_prints() -> None:
    printed = subprocess.run(
        [ROOT / "scripts" / "status_schema"], capture_output=True, text=True, check=True
    ).stdout

    assert printed == (ROOT / "docs" / "schemas" / "status.schema.json").read_text()
    assert json.loads(printed) == schema()


def test_a_fetcher_that_answers_says_all_that_there_is_to_say(
    pipeline: Any,
) -> None:
    line: Harness = pipeline()

    [fetcher] = line.status()["fetchers"]

    assert fetcher.keys() == FetcherStatus.__annotations__.keys()
    assert fetcher.keys() > FetcherAnswer.__annotations__.keys()
    assert line.status().keys() == SystemStatus.__annotations__.keys()


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"state": "asleep"}, "$.state: 'asleep' is none of"),
        ({"why": None}, "$.why: None is no string"),
        ({"colour": "red"}, "$: colour is not known"),
        ({"accounting": {"fetched": True}}, "$.accounting.fetched: True is no integer"),
        ({"fetchers": [{"name": "numbers"}]}, "$.fetchers[0]: there is no buffered"),
        ({"events": {}}, "$.events: {} is no array"),
    ],
)
def test_what_is_not_as_the_schema_says_is_seen(
    change: dict[str, Any], mistake: str, pipeline: Any
) -> None:
    status = json.loads(json.dumps(pipeline().status())) | change

    found = mistakes(status, schema())

    assert any(each.startswith(mistake) for each in found)

"""What a source says of its own options, told with file and line."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actors.config.build import build
from actors.config.named_functions import FunctionProblem, function_problems
from actors.config.show import secrets_of
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve

TOML = """
[[fetcher]]
name = "a"
fetch = "own_source:fetch"
[fetcher.options]
url = "https://me@api.example"
keys = { one = "{env:ONE_VALUE}", two = ["x env:OTHER_VALUE"] }
auth = { type = "query", name = "k", value = "plain-value" }
"""


def found(check: Any) -> list[FunctionProblem]:
    module = ModuleType("own_source")
    module.fetch = lambda **_: None  # type: ignore[attr-defined]
    module.check_options = check  # type: ignore[attr-defined]
    sys.modules["own_source"] = module
    return list(function_problems(config_of(TOML)))


def config_of(text: str) -> Any:
    content = tomllib.loads(text)
    file = ConfigFile(Path("jobs.toml"), content, text)
    return build(resolve({"process": "builtins:print"}, {}, file), file)


@pytest.fixture(autouse=True)
def _leave_no_module() -> Iterator[None]:
    yield
    sys.modules.pop("own_source", None)


def test_a_source_may_look_at_its_options() -> None:
    seen: list[Any] = []

    def check(**options: Any) -> Any:
        seen.append(options)
        yield "too few"
        yield "url", "too short"
        yield ("keys", "two", 0), "too long"

    assert found(check) == [
        FunctionProblem("fetcher.a.options", "options: too few", ()),
        FunctionProblem("fetcher.a.options", "options.url: too short", ("url",)),
        FunctionProblem(
            "fetcher.a.options", "options.keys.two.0: too long", ("keys", "two", 0)
        ),
    ]
    assert set(seen[0]) == {"url", "keys", "auth"}


def test_a_look_that_fails_is_a_problem_of_its_own() -> None:
    def check(**_: Any) -> Any:
        raise KeyError("x")

    [problem] = found(check)

    assert problem.text.startswith("options: own_source:check_options failed: KeyError")


def test_options_that_are_sound_say_nothing() -> None:
    assert found(lambda **_: []) == []


def test_what_is_filled_in_is_a_secret_whatever_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONE_VALUE", " canary-one\n")
    monkeypatch.setenv("OTHER_VALUE", "canary-two")

    secrets = set(secrets_of(config_of(TOML)))

    assert {"canary-one", "canary-two", "plain-value"} <= secrets

"""What is said of a value that cannot be used."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from actors.config.build import build
from actors.config.errors import ConfigError
from actors.config.model import DISPATCHERS, LIVE_OPTIONS, STAGE_OPTIONS
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve

EXPECTED = "must be MODULE:FUNCTION, as in domain.numbers:fetch, got"


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("process", "mine", "; did you mean mine:process?"),
        ("process", "jobs.mine", "; did you mean jobs.mine:process?"),
        ("fetch", "mine", "; did you mean mine:fetch?"),
        ("process", "mine.py", "; did you mean mine:process?"),
        ("process", "mine:", ""),
        ("process", "a:b:c", ""),
    ],
)
def test_a_module_without_a_function_is_told_with_the_one_that_may_be_meant(
    name: str, text: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve({name: text}, {}, None)

    source = ", or a source by its short name, as api" if name == "fetch" else ""
    expected = EXPECTED.replace(", got", f"{source}, got")
    assert str(refused.value) == f"--{name} {expected} {text!r}{hint}"


def test_so_it_is_in_a_table() -> None:
    text = '[[fetcher]]\nname = "a"\nsettle = "mine"\n'
    file = ConfigFile(Path("f.toml"), tomllib.loads(text), text)

    with pytest.raises(ConfigError) as refused:
        build(resolve({}, {}, file), file)

    assert str(refused.value) == (
        f"f.toml:3: settle {EXPECTED} 'mine'; did you mean mine:settle?"
    )


def test_what_set_may_change_is_listed_with_the_settings_first() -> None:
    assert [*LIVE_OPTIONS] == [
        *("every_s", "max_demand"),
        *("rate_limit", "rate_interval_s", "demand"),
    ]


@pytest.mark.parametrize("table", ["fetcher", "processor"])
def test_a_dispatcher_has_its_name_in_one_place(table: str) -> None:
    expected = STAGE_OPTIONS[table]["dispatcher"].type.expected

    assert expected == "one of " + ", ".join(DISPATCHERS)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rate_limit = 5\n", "rate_limit belongs into [[fetcher]]"),
        ("count = 5\n", "count belongs into [[processor]]"),
        (
            '[[processor]]\nname = "a"\nrate_limit = 5\n',
            "rate_limit belongs into [[fetcher]]",
        ),
        (
            '[[fetcher]]\nname = "a"\nretries = 5\n',
            "retries belongs into the top of the file",
        ),
        (
            '[[fetcher]]\nname = "a"\nconcurrency = 5\n',
            "concurrency belongs into [[processor]] or the top of the file",
        ),
    ],
)
def test_a_key_of_another_place_is_told_with_that(text: str, hint: str) -> None:
    file = ConfigFile(Path("f.toml"), tomllib.loads(text), text)

    with pytest.raises(ConfigError) as refused:
        build(resolve({}, {}, file), file)

    assert str(refused.value).endswith(f"; {hint}")


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (["canary"], "1 elements"),
        ([], "0 elements"),
        ("json://canary", "13 characters"),
        (7, "int"),
    ],
)
def test_of_a_secret_only_its_size_is_told(value: object, got: str) -> None:
    file = ConfigFile(Path("f"), {"notify": value}, "")

    with pytest.raises(ConfigError) as refused:
        resolve({}, {}, file)

    expected = "f: notify must be a list of URLs, each SCHEME://..., got"
    assert str(refused.value) == f"{expected} {got}"

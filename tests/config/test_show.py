"""What ``check --show`` lists, and where it says that each value comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path

from actors.config.build import build
from actors.config.show import config_rows
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve

TABLES = """
[[fetcher]]
name = "north"
fetch = "own:fetch"
buffer = 5

[[processor]]
name = "p"
process = "own:process"
buffer = 6
"""


def shown(text: str = "", **flags: str) -> dict[str, tuple[str, str]]:
    file = ConfigFile(Path("f.toml"), tomllib.loads(text), text) if text else None
    values = resolve(flags, {}, file)
    rows = config_rows(values, file, build(values, file))
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def test_a_default_is_left_out_where_every_table_has_its_own() -> None:
    rows = shown(TABLES)

    assert not {"url", "fetch", "process", "buffer"} & rows.keys()
    assert rows["fetcher.north.fetch"] == ("own:fetch", "f.toml:4")


def test_a_default_that_a_table_leaves_alone_is_listed() -> None:
    rows = shown(TABLES)

    assert rows["every_s"] == rows["fetcher.north.every_s"] == ("2.0", "default")
    assert rows["processors"] == rows["processor.p.count"] == ("2", "default")
    assert shown(TABLES.replace("buffer = 6", ""))["buffer"] == ("1000", "default")


def test_what_was_given_is_listed_whether_a_stage_takes_it_or_not() -> None:
    rows = shown("buffer = 7\n" + TABLES, process="other:process")

    assert rows["buffer"] == ("7", "f.toml:1")
    assert rows["process"] == ("other:process", "--process")
    assert rows["processor.p.process"] == ("other:process", "--process")


def test_without_a_file_every_setting_is_listed() -> None:
    assert shown().keys() >= resolve({}, {}, None).keys()

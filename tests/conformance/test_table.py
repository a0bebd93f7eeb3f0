"""The table in the docs, held against the tests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "conformance.md"
ROW = re.compile(
    r"^\| (\d+) \| .+ \| (kept|kept otherwise|not applicable) \| (.*) \| (.*) \|$"
)
#: What the tests of such a file are run over.
BASES = ["harness", "processes", "machines"]


class Row(NamedTuple):
    number: int
    verdict: str
    why: str
    shown_on: str


def rows() -> list[Row]:
    found = map(ROW.match, TABLE.read_text().splitlines())
    return [Row(int(row[1]), row[2], row[3], row[4]) for row in found if row]


def numbers_in(files: Iterable[Path]) -> set[int]:
    names = [
        name
        for file in files
        for name in re.findall(
            r"^def test((?:_\d\d)+)_", file.read_text(), re.MULTILINE
        )
    ]
    return {int(number) for name in names for number in name.split("_")[1:]}


TESTS = [each for each in HERE.glob("test_*.py") if each != Path(__file__)]
OVER_BASES = [each for each in TESTS if "pipeline_of: Start" in each.read_text()]


def test_the_table_has_each_behaviour_once_in_order() -> None:
    assert [each.number for each in rows()] == [*range(1, 71)]


def test_what_is_kept_has_a_test_and_nothing_else_has() -> None:
    kept = {each.number for each in rows() if each.verdict != "not applicable"}

    assert numbers_in(TESTS) == kept


def test_what_is_not_kept_as_it_is_says_why() -> None:
    silent = [each.number for each in rows() if each.verdict != "kept" and not each.why]

    assert silent == []


def test_each_behaviour_says_over_which_bases_it_was_shown() -> None:
    over_bases = numbers_in(OVER_BASES)
    as_rules = numbers_in(each for each in TESTS if each not in OVER_BASES)

    for each in rows():
        bases = ["rule"] * (each.number in as_rules)
        bases += BASES * (each.number in over_bases)
        assert (each.number, each.shown_on) == (each.number, ", ".join(bases))


def test_the_bases_are_those_that_scenarios_are_run_over() -> None:
    text = (HERE / "conftest.py").read_text()

    assert [each for each in BASES if f'"{each}"' in text] == BASES

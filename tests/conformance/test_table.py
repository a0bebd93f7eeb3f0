"""The table in the docs, held against the tests."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "conformance.md"
ROW = re.compile(r"^\| (\d+) \| .+ \| (kept|kept otherwise|not applicable) \| (.*) \|$")


def rows() -> list[tuple[int, str, str]]:
    found = map(ROW.match, TABLE.read_text().splitlines())
    return [(int(row[1]), row[2], row[3]) for row in found if row]


def numbers_with_a_test() -> set[int]:
    names = [
        name
        for file in HERE.glob("test_*.py")
        for name in re.findall(
            r"^def test((?:_\d\d)+)_", file.read_text(), re.MULTILINE
        )
    ]
    return {int(number) for name in names for number in name.split("_")[1:]}


def test_the_table_has_each_behaviour_once_in_order() -> None:
    assert [number for number, _, _ in rows()] == [*range(1, 71)]


def test_what_is_kept_has_a_test_and_nothing_else_has() -> None:
    kept = {number for number, verdict, _ in rows() if verdict != "not applicable"}

    assert numbers_with_a_test() == kept


def test_what_is_not_kept_as_it_is_says_why() -> None:
    silent = [
        number for number, verdict, why in rows() if verdict != "kept" and not why
    ]

    assert silent == []

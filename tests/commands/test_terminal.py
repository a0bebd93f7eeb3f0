"""Tables of ``top`` in terminals of any size, and what is spelt out there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.commands.terminal import (
    Column,
    columns_for,
    share_lines,
    those_not_shown,
)
from actors.host.texts import plain

COLUMNS = (
    Column("name", "name"),
    Column("state", "state"),
    Column("pid", "pid", 2, number=True),
    Column("restarts", "restarts", 1, number=True),
)
ROWS = [{"name": "numbers", "state": "running", "pid": 12345, "restarts": 0}]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (33, ["name", "state", "pid", "restarts"]),
        (32, ["name", "state", "restarts"]),
        (25, ["name", "state"]),
        (15, ["name"]),
        (1, ["name"]),
    ],
)
def test_the_least_important_columns_are_left_out_first(
    width: int, headings: list[str]
) -> None:
    kept = columns_for(COLUMNS, ROWS, width)

    assert [column.heading for column in kept] == headings


def test_a_text_that_may_be_cut_asks_for_little_room() -> None:
    error = Column("error", "error", most=500, least=5)

    kept = columns_for([*COLUMNS[:2], error], [{**ROWS[0], "error": "x" * 400}], 25)

    assert [column.heading for column in kept] == ["name", "state", "error"]


def test_a_long_name_is_cut() -> None:
    assert COLUMNS[0].text({"name": "n" * 25}) == "n" * 23 + "…"


@given(lines=st.integers(-5, 60), wanted=st.lists(st.integers(0, 40), max_size=4))
def test_lines_are_shared_fairly(lines: int, wanted: list[int]) -> None:
    given_out = share_lines(lines, wanted)

    assert all(
        min(1, want) <= each <= want
        for each, want in zip(given_out, wanted, strict=True)
    )
    assert sum(given_out) <= max(lines, sum(min(1, want) for want in wanted))
    served = [each for each, want in zip(given_out, wanted, strict=True) if each < want]
    if served:
        assert max(given_out) - min(served) <= 1


def test_what_has_no_room_is_counted_by_its_states() -> None:
    rows = [{"state": state} for state in ("running", "backoff", "running")]

    assert those_not_shown(rows) == "and 3 more: 2 running, 1 backoff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 日本 🎉", "Grüße, 日本 🎉"),
        ("\x1b]0;gotcha\x07", r"\x1b]0;gotcha\x07"),
        ("two\nlines\ttab", r"two\nlines\ttab"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_would_act_on_a_terminal_is_spelt_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()

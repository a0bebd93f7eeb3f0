from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.api.cursors import Cursor, earlier
from domain.api.expressions import compiled
from domain.errors import BadAnswerError

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def cursor(kind: str, where: str = "at", **options: Any) -> Cursor:
    return Cursor(kind, compiled(where, f"cursor.{kind}"), **options)


def items(*values: Any) -> list[Any]:
    return [{"at": each} for each in values]


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        (None, [3, 1, 2], 3),
        (5, [3, 1, 2], 5),
        (None, ["1512085950.000216", "1512085950.000217"], "1512085950.000217"),
        ("9", ["10"], "10"),
        (None, ["b", "a"], "b"),
        (None, ["2026-01-01T00:00:00+01:00", "2025-12-31T23:30:00Z"], None),
        ("2026-01-01T00:00:00Z", ["2026-01-01T00:00:00.5Z"], None),
        (None, [None, 4, None], 4),
        (None, [], None),
        (7, [], 7),
    ],
)
def test_the_latest_of_the_jobs(before: Any, values: list[Any], after: Any) -> None:
    expected = values[-1] if after is None and values else after

    assert cursor("max").after(before, {}, items(*values), NOW) == expected


def test_the_first_and_the_last_of_the_jobs() -> None:
    page = items(9, 8, 7)

    assert cursor("last").after(None, {}, page, NOW) == 7
    assert cursor("first").after(None, {}, page, NOW) == 9
    assert cursor("first").after(12, {}, page, NOW) == 12
    assert cursor("first").after(12, {}, [], NOW) == 12


def test_a_value_of_the_answer() -> None:
    assert cursor("value", "next").after("a", {"next": "b"}, [], NOW) == "b"
    assert cursor("value", "next").after("a", {"next": None}, [], NOW) == "a"


@pytest.mark.parametrize("value", [True, [1], {"a": 1}])
def test_what_is_no_text_or_number_is_refused(value: Any) -> None:
    with pytest.raises(BadAnswerError, match=r"^cursor\.max: expected a number or a"):
        cursor("max").after(None, {}, items(value), NOW)


def test_a_cursor_too_long_to_be_sent_is_refused() -> None:
    with pytest.raises(BadAnswerError, match="expected at most 8192 characters"):
        cursor("value").after(None, {"at": "x" * 9000}, [], NOW)


def test_values_of_two_kinds_cannot_be_compared() -> None:
    with pytest.raises(BadAnswerError, match="of one kind to compare"):
        cursor("max").after(5, {}, items("2026-01-01"), NOW)


def test_a_place_that_no_job_has_is_told() -> None:
    with pytest.raises(BadAnswerError, match=r"'updated' in the jobs, got none in 2"):
        cursor("max", "updated").after(None, {}, items(1, 2), NOW)


def test_a_time_that_has_not_come_yet_does_not_move_the_cursor() -> None:
    page = items("2026-05-01T00:00:00Z", "2099-01-01T00:00:00Z")

    assert cursor("max").after(None, {}, page, NOW) == "2026-05-01T00:00:00Z"


def test_a_large_id_is_no_time() -> None:
    assert cursor("max").after(None, {}, items("41728562833"), NOW) == "41728562833"
    assert cursor("max").after(None, {}, items(1 << 60), NOW) == 1 << 60


@pytest.mark.parametrize(
    ("value", "moved"),
    [
        ("2026-01-01T00:00:30Z", "2025-12-31T23:59:30Z"),
        ("2026-01-01T00:00:30.125Z", "2025-12-31T23:59:30.125Z"),
        ("2026-01-01T00:00:30.1234567+02:00", "2025-12-31T23:59:30.1234560+02:00"),
        ("2026-01-01 00:00:30", "2025-12-31 23:59:30"),
        ("2026-03-01", "2026-02-28"),
        (1767225600, 1767225540),
        (1767225600000, 1767225540000),
        ("1512085950.000216", "1512085890.000216"),
        (1767225600.5, 1767225540.5),
    ],
)
def test_an_overlap_keeps_the_form_of_the_time(value: Any, moved: Any) -> None:
    assert earlier(value, 60.0) == moved


def test_an_overlap_of_what_is_no_time_is_told() -> None:
    with pytest.raises(BadAnswerError, match="overlap_s wants a time"):
        cursor("max", overlap_s=60.0).sent("evt_1")


def test_what_is_sent() -> None:
    assert cursor("max", start="2026-01-01").sent(None) == "2026-01-01"
    assert cursor("max", start="2026-01-01", overlap_s=60.0).sent(None) == "2026-01-01"
    assert cursor("max", start=0, start_param="since").sent(None) is None
    assert cursor("max").sent(None) is None


def test_paging_back_ends_at_what_was_read_before() -> None:
    assert cursor("first").reached(8, items(9, 8, 7))
    assert not cursor("first").reached(5, items(9, 8, 7))
    assert not cursor("first").reached(None, items(9))
    assert not cursor("max").reached(8, items(9, 8, 7))

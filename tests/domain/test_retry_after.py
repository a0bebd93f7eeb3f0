from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.retry_after import parse_retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("3601", 3600.0),
        ("9" * 5000, 3600.0),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2026 12:01:30 -0000", 90.0),
        ("Thu, 01 Jan 2026 14:01:30 +0200", 90.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2099 12:00:00 GMT", 3600.0),
        ("", None),
        ("soon", None),
        ("1.5", 1.5),
        ("30.5", 30.5),
        (" 30. ", 30.0),
        (".5", None),
        ("30.5.1", None),
        ("30.5 s", None),
        ("1e3", None),
        ("\u00b2", None),
        ("inf", None),
        ("Thu, 99 Foo 2026 12:00:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_read_and_junk_is_ignored(
    value: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("Thu, 01 Jan 2015 12:01:30 GMT", "Thu, 01 Jan 2015 12:00:00 GMT", 90.0),
        ("Thu, 01 Jan 2099 12:01:30 GMT", "Thu, 01 Jan 2099 12:00:00 GMT", 90.0),
        ("Thu, 01 Jan 2026 12:01:30 GMT", "Thu, 01 Jan 2026 12:02:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 12:01:30 GMT", "nonsense", 90.0),
        ("Thu, 01 Jan 2026 12:01:30 GMT", "", 90.0),
        ("120", "Thu, 01 Jan 2099 12:00:00 GMT", 120.0),
    ],
)
def test_a_date_is_compared_with_the_answers_own(
    value: str, date: str, seconds: float
) -> None:
    assert parse_retry_after(value, now=NOW, date=date) == seconds


@given(st.text())
def test_any_header_is_no_time_or_a_bounded_one(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW)

    assert seconds is None or 0 <= seconds <= 3600

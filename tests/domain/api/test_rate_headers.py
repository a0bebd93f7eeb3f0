from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from domain.api.rate_headers import budget_of, pace_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = int(NOW.timestamp())


def told(status: int = 200, **headers: Any) -> tuple[int | None, float | None]:
    named = {name.replace("_", "-"): str(each) for name, each in headers.items()}
    budget = budget_of(CaseInsensitiveDict(named), status, NOW)
    return budget.left, budget.wait_s


@pytest.mark.parametrize(
    ("headers", "left", "wait_s"),
    [
        ({}, None, None),
        ({"X_RateLimit_Remaining": 7, "X_RateLimit_Reset": 60}, 7, None),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 30}, 0, 30.0),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": EPOCH + 30}, 0, 30.0),
        (
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": (EPOCH + 30) * 1000},
            0,
            30.0,
        ),
        ({"RateLimit_Remaining": 0, "RateLimit_Reset": 12}, 0, 12.0),
        ({"X_Rate_Limit_Remaining": 0, "X_Rate_Limit_Reset": EPOCH + 5}, 0, 5.0),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset_After": "1.337"}, 0, 1.337),
        (
            {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": "2026-01-01T00:01:00Z"},
            0,
            60.0,
        ),
        ({"X_RateLimit_Remaining": 0}, 0, 60.0),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": "x"}, 0, 60.0),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": EPOCH - 9}, 0, 1.0),
        ({"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 10**8}, 0, 86400.0),
        ({"X_RateLimit_Remaining": "x"}, None, None),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, 50, None),
        ({"RateLimit": "limit=100, remaining=0, reset=5"}, 0, 5.0),
        ({"RateLimit": '"default";r=50;t=30'}, 50, None),
        ({"RateLimit": '"default";r=0;t=30'}, 0, 30.0),
        ({"RateLimit": '"a";r=5;t=9, "b";r=0;t=30'}, 0, 30.0),
        (
            {"RateLimit": '"day";r=0', "RateLimit_Policy": '"day";q=100;w=3600'},
            0,
            3600.0,
        ),
        ({"X_Shopify_Shop_Api_Call_Limit": "39/40"}, 1, None),
        ({"X_Shopify_Shop_Api_Call_Limit": "40/40"}, 0, 1.0),
    ],
)
def test_what_is_left(
    headers: dict[str, Any], left: int | None, wait_s: float | None
) -> None:
    assert told(**headers) == (left, wait_s and pytest.approx(wait_s))


def test_a_reset_is_by_the_clock_of_the_server() -> None:
    date = "Thu, 01 Jan 2026 10:00:00 GMT"
    reset = EPOCH + 10 * 3600 + 30

    left, wait_s = told(X_RateLimit_Remaining=0, X_RateLimit_Reset=reset, Date=date)

    assert (left, wait_s) == (0, 30.0)


def test_retry_after_says_more_than_a_budget_where_it_is_about_one() -> None:
    both = {"X_RateLimit_Remaining": 0, "X_RateLimit_Reset": 600, "Retry_After": 7}

    assert told(403, **both)[1] == 7.0
    assert told(429, Retry_After="2.5")[1] == 2.5
    assert told(503, Retry_After=7)[1] is None
    assert told(200, Retry_After=7)[1] is None


def test_how_far_apart_polls_are_to_be() -> None:
    assert pace_of({"X-Poll-Interval": "60"}) == 60.0
    assert pace_of({"X-Poll-Interval": "0"}) is None
    assert pace_of({"X-Poll-Interval": "x"}) is None
    assert pace_of({}) is None

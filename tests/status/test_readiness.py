"""What keeps a system from being ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.status.readiness import problems

if TYPE_CHECKING:
    from actors.status.model import SystemStatus


def status(*, state: str = "running", **changes: Any) -> SystemStatus:
    fetcher = {
        "name": "numbers",
        "state": "running",
        "waiting_for": "jobs",
        "last_poll_age_s": 1.0,
        "next_poll_s": 1.0,
        "every_s": 2.0,
        "journal_error": None,
    } | changes
    processors = [{"name": "sqrt-1", "state": "running"}]
    made = {"state": state, "fetchers": [fetcher], "processors": processors}
    return cast("SystemStatus", made)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"waiting_for": "paused", "state": "paused", "last_poll_age_s": 900.0},
        {"waiting_for": "room", "last_poll_age_s": 900.0, "next_poll_s": 0.0},
        {"last_poll_age_s": 900.0, "next_poll_s": 20.0},
        {"waiting_for": "demand", "on_demand": True, "last_poll_age_s": None},
        {
            "last_poll_age_s": 39.0,
            "next_poll_s": 0.0,
            "fetching_s": 39.0,
            "fetch_may_take_s": 56.0,
        },
        {
            "last_poll_age_s": 3600.0,
            "next_poll_s": 0.0,
            "fetching_s": 0.1,
            "fetch_may_take_s": 16.0,
        },
    ],
)
def test_what_works_or_waits_on_purpose_is_ready(changes: dict[str, Any]) -> None:
    state = changes.pop("state", "running")

    assert problems(status(state=state, **changes)) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"last_poll_age_s": 17.0, "next_poll_s": 0.0},
            "numbers was last polled 17 s ago",
        ),
        (
            {"last_poll_age_s": 57.0, "fetching_s": 57.0, "fetch_may_take_s": 56.0},
            "numbers has been fetching for 57 s, expected 56 s at most",
        ),
        ({"last_poll_age_s": None}, "numbers has not been polled yet"),
        ({"journal_error": "disk full"}, "numbers cannot write its journal: disk full"),
        (
            {"waiting_for": "backoff", "last_error": "E: gone"},
            "numbers backs off: E: gone",
        ),
        ({"waiting_for": "backoff"}, "numbers backs off: its source failed"),
        (
            {"waiting_for": "room", "quarantine_full": True, "quarantined": 1000},
            "numbers does not poll: its quarantine is full (1000 jobs)",
        ),
        (
            {"waiting_for": "room", "journal_full": True},
            "numbers does not poll: the journal has reached --journal-mib",
        ),
    ],
)
def test_a_fetcher_that_does_not_get_jobs_is_named(
    changes: dict[str, Any], problem: str
) -> None:
    assert problems(status(**changes)) == [problem]


def test_a_drain_and_a_lack_of_processors_are_named() -> None:
    draining = status(state="draining", waiting_for="drain")
    draining["processors"][0]["state"] = "draining"
    silent = status()
    silent["fetchers"][0]["state"] = "silent"

    assert problems(draining) == ["it is draining", "no processor is there"]
    assert problems(silent) == ["numbers is silent"]

"""The line that says why nothing moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.status.summary import explain

if TYPE_CHECKING:
    from actors.status.model import SystemStatus


def fetcher(**changes: Any) -> dict[str, Any]:
    return {
        "name": "numbers",
        "state": "running",
        "waiting_for": "jobs",
        "buffered": 0,
        "last_poll_age_s": 1.25,
        "next_poll_s": 0.75,
        "capacity": 9,
        "low_water": 7,
        **changes,
    }


def processor(**changes: Any) -> dict[str, Any]:
    return {
        "name": "sqrt-1",
        "kind": "sqrt",
        "takes_from": ["numbers"],
        "state": "running",
        "in_flight": 0,
        **changes,
    }


def status(
    *stages: dict[str, Any], state: str = "running", **counts: int
) -> dict[str, Any]:
    accounting = {"in_flight": 0, "buffered": 0, "retrying": 0} | counts
    return {
        "state": state,
        "accounting": accounting,
        "fetchers": [each for each in stages if "waiting_for" in each],
        "processors": [each for each in stages if "waiting_for" not in each],
    }


@pytest.mark.parametrize(
    ("situation", "line"),
    [
        (
            status(fetcher(), processor()),
            "numbers has no jobs: its source had none 1.2 s ago",
        ),
        (
            status(fetcher(fetching_s=0.2, fetch_may_take_s=56.0), processor()),
            "numbers has no jobs: its source had none 1.2 s ago",
        ),
        (
            status(fetcher(fetching_s=39.0, fetch_may_take_s=56.0), processor()),
            (
                "numbers has no jobs: it asked its source 39.0 s ago and waits for "
                "the answer"
            ),
        ),
        (
            status(fetcher(fetching_s=75.0, fetch_may_take_s=16.0), processor()),
            (
                "numbers has no jobs: it asked its source 75.0 s ago and has no "
                "answer, expected within 16.0 s"
            ),
        ),
        (
            status(
                fetcher(fetching_s=0.3, last_poll_age_s=25.6, fetch_may_take_s=16.0),
                processor(),
            ),
            (
                "numbers has no jobs: its fetch gave its last one 0.3 s ago and waits "
                "for more"
            ),
        ),
        (
            status(
                fetcher(fetching_s=18.0, last_poll_age_s=43.0, fetch_may_take_s=16.0),
                processor(),
            ),
            (
                "numbers has no jobs: its fetch gave its last one 18.0 s ago and has "
                "no answer, expected within 16.0 s"
            ),
        ),
        (
            status(fetcher(fetching_s=75.0), processor(), state="draining", buffered=2),
            (
                "draining: 0 in flight, 2 kept; numbers waits for its source, asked "
                "75.0 s ago"
            ),
        ),
        (
            status(fetcher(in_flight_bytes=50 << 20), processor(), in_flight=483),
            "483 jobs in flight (50.0 MiB) on their way to processors or back",
        ),
        (
            status(fetcher(waiting_for="demand", buffered=1)),
            "numbers has 1 job: there is no processor; lowtide attach adds one",
        ),
        (
            status(fetcher(waiting_for="hold", buffered=2), processor()),
            (
                "numbers has 2 jobs: it accumulates; "
                "lowtide set numbers --demand forward sends them"
            ),
        ),
        (
            status(fetcher(waiting_for="demand"), processor()),
            "numbers fetches on demand only: no processor asks",
        ),
        (
            status(fetcher(waiting_for="room", buffered=9), processor()),
            (
                "numbers is full (9 of 9 jobs), and polls again when 7 are left: "
                "no processor asks"
            ),
        ),
        (
            status(fetcher(waiting_for="room", buffered=8), processor()),
            (
                "numbers has 8 of 9 jobs, and polls again when 7 are left: "
                "no processor asks"
            ),
        ),
        (
            status(fetcher(waiting_for="room", buffered=3, retrying=6), processor()),
            (
                "numbers is full (3 of 9 jobs, and 6 to be tried again) and does not "
                "poll: no processor asks"
            ),
        ),
        (
            status(
                fetcher(waiting_for="rate", buffered=3, rate_next_s=3.21), processor()
            ),
            "numbers has 3 jobs: at its rate limit, next in 3.2 s",
        ),
        (
            status(
                fetcher(
                    waiting_for="rate",
                    buffered=3,
                    rate_next_s=3.21,
                    throttled_s=0.75,
                    throttled_by="status 429",
                ),
                processor(),
            ),
            (
                "numbers has 3 jobs: at its rate limit, next in 3.2 s; it polls again "
                "in 0.8 s, as its source asked: status 429"
            ),
        ),
        (
            status(
                fetcher(
                    waiting_for="rate", buffered=3, rate_next_s=3.21, last_error="E"
                ),
                processor(),
            ),
            (
                "numbers has 3 jobs: at its rate limit, next in 3.2 s; it tries again "
                "in 0.8 s: E"
            ),
        ),
        (
            status(fetcher(waiting_for="backoff", buffered=1, last_error="E")),
            (
                "numbers has 1 job: there is no processor; lowtide attach adds one; "
                "it tries again in 0.8 s: E"
            ),
        ),
        (
            status(
                fetcher(waiting_for="rate", buffered=3, rate_next_s=3.21), in_flight=1
            ),
            "1 job in flight; numbers is at its rate limit, next in 3.2 s",
        ),
        (
            status(
                fetcher(
                    waiting_for="demand",
                    buffered=3,
                    kinds={
                        "report": {"buffered": 3, "demand": 0},
                        "sqrt": {"buffered": 0, "demand": 1},
                    },
                ),
                processor(),
            ),
            (
                "numbers has 3 jobs: 3 jobs for report, of which there is no "
                "processor; lowtide attach --processor report adds one"
            ),
        ),
        (
            status(
                fetcher(waiting_for="demand", buffered=3),
                processor(takes_from=["other"]),
            ),
            "numbers has 3 jobs: there is no processor; lowtide attach adds one",
        ),
        (
            status(fetcher(waiting_for="room", buffered=99, backlog=90), in_flight=9),
            "9 jobs in flight; numbers works off its journal first, 90 jobs left",
        ),
        (
            status(fetcher(waiting_for="room", buffered=99, backlog=90)),
            (
                "numbers works off its journal first, 90 jobs left: there is no "
                "processor; lowtide attach adds one"
            ),
        ),
        (
            status(fetcher(waiting_for="backoff", last_error="SourceError: no")),
            "numbers tries again in 0.8 s: SourceError: no",
        ),
        (
            status(fetcher(waiting_for="throttled", throttled_by="0 of 60 left")),
            "numbers polls again in 0.8 s, as its source asked: 0 of 60 left",
        ),
        (
            status(fetcher(waiting_for="paused")),
            "numbers is paused; lowtide resume goes on",
        ),
        (
            status(fetcher(), retrying=2),
            "2 failed jobs of numbers to be tried again later",
        ),
        (
            status(fetcher(waiting_for="paused"), in_flight=1),
            "1 job in flight; numbers is paused",
        ),
        (
            status(fetcher(waiting_for="demand"), in_flight=2, buffered=7),
            "2 jobs in flight, 7 behind them",
        ),
        (
            status(fetcher(), processor(state="fatal")),
            "sqrt-1 died too often and will not be started again",
        ),
        (
            status(fetcher(journal_error="full"), in_flight=3),
            "numbers cannot write its journal, so it neither fetches nor sends: full",
        ),
        (
            status(fetcher(quarantine_full=True, quarantined=1000, waiting_for="room")),
            (
                "numbers does not poll: its quarantine is full (1000 jobs): see "
                "lowtide jobs list --state quarantined, then retry or discard"
            ),
        ),
        (
            status(
                fetcher(
                    quarantine_full=True, quarantined=1, quarantined_bytes=67_108_865
                )
            ),
            (
                "numbers does not poll: its quarantine is full (1 job, 64.0 MiB): see "
                "lowtide jobs list --state quarantined, then retry or discard"
            ),
        ),
        (
            status(fetcher(journal_full=True, waiting_for="room"), in_flight=3),
            (
                "numbers does not poll: the journal has reached --journal-mib; "
                "finishing, retrying or discarding jobs frees space; so does the end "
                "of --remember for the ids of ended jobs"
            ),
        ),
        (
            status(fetcher(state="faulted", last_error="BadStatusError: 401")),
            "numbers is refused by its source: BadStatusError: 401",
        ),
        (
            status(fetcher(), state="draining", in_flight=2) | {"drain_left_s": 9.0},
            "draining: 2 in flight, 0 kept, 9.0 s left; nothing is fetched any more",
        ),
    ],
)
def test_the_line_names_what_to_do_about(situation: dict[str, Any], line: str) -> None:
    assert explain(cast("SystemStatus", situation)) == line

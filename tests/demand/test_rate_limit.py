"""A rate limit with its neighbours: what was sent before, and what waits to leave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.demand.job_events import JobsSent
from actors.demand.rate_limit import Rate
from actors.demand.windows import Window
from tests.conformance.line import Line


def test_what_an_earlier_run_has_sent_counts() -> None:
    rate = Rate(3, 20.0)

    rate.resume([(95.0, 1), (81.0, 1), (70.0, 5)])

    assert [rate.allowed(now) for now in (100.0, 100.9, 101.0, 115.0)] == [1, 1, 2, 3]


def test_what_waits_for_the_journal_counts_from_when_it_leaves() -> None:
    rate = Rate(2, 20.0)
    rate.spent(1, 90.0)
    rate.spent(1, 100.0)

    rate.hold(100.0)
    rate.hold(105.0)
    held = [rate.allowed(100.0), rate.allowed(200.0)]
    rate.release(200.0)

    assert held == [0, 0]
    assert [rate.allowed(now) for now in (200.0, 219.9, 220.0)] == [1, 1, 2]


def test_each_that_is_sent_under_a_limit_is_an_event_to_keep() -> None:
    line = Line()
    line.producer.rate = Rate(2, 1.0)
    line.join("a", Window(max_demand=10))

    line.fetch(*range(5))
    line.tick(1.0)

    sent = [each for each in line.events if isinstance(each, JobsSent)]
    assert sent == [JobsSent(2, 1.0), JobsSent(2, 1.0)]


def test_without_a_limit_there_is_nothing_to_keep() -> None:
    line = Line()
    line.join("a", Window(max_demand=10))

    line.fetch(*range(5))

    assert not any(isinstance(each, JobsSent) for each in line.events)


@given(
    count=st.integers(1, 5),
    steps=st.lists(
        st.tuples(
            st.floats(0.0, 8.0, allow_nan=False),
            st.sampled_from(["send", "crash", "hold", "release"]),
        ),
        max_size=40,
    ),
)
def test_no_stretch_has_more_than_the_limit_whatever_crashes(
    count: int, steps: list[tuple[float, str]]
) -> None:
    interval_s = 10.0
    rate, now = Rate(count, interval_s), 0.0
    left: list[float] = []
    waiting: list[float] = []

    for seconds, what in steps:
        now += seconds
        if what == "crash":
            # What had not left is not kept, nor sent.
            waiting, rate = [], Rate(count, interval_s)
            rate.resume([(at, 1) for at in left])
        elif what == "hold":
            allowed = rate.allowed(now)
            rate.spent(allowed, now)
            waiting += [now] * allowed
            rate.hold(now)
        elif what == "release" or not rate.is_held:
            left += [now] * len(waiting)
            waiting = []
            rate.release(now)
            allowed = rate.allowed(now)
            rate.spent(allowed, now)
            left += [now] * allowed

    for at in left:
        assert sum(at <= other < at + interval_s for other in left) <= count

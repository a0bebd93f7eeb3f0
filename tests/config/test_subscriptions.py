"""What one subscription has of its own, and what does not fit it."""

from __future__ import annotations

import pytest

from actors.config.model import SubscriptionOptions
from actors.config.topology import OptionConflict, option_conflicts
from actors.demand.consumer import Consumer
from actors.demand.messages import Cancel
from actors.demand.windows import Window
from tests.conformance.line import process


def found(
    *,
    is_manual: bool = False,
    batch_size: int = 1,
    broadcasts: bool = False,
    **options: int | str,
) -> list[OptionConflict]:
    given = SubscriptionOptions(**options)  # type: ignore[arg-type]
    return [
        *option_conflicts(
            given, is_manual=is_manual, batch_size=batch_size, broadcasts=broadcasts
        )
    ]


def asked(consumer: Consumer) -> dict[str, int]:
    return {feed.source: feed.total for feed in consumer.subscriptions}


def test_what_is_not_given_fits_anything() -> None:
    assert found(is_manual=True, batch_size=9) == []
    assert SubscriptionOptions().window is None


def test_a_window_of_its_own_fits_where_the_processor_asks_by_itself() -> None:
    assert found(max_demand=4, min_demand=3, batch_size=4) == []
    window = SubscriptionOptions(max_demand=4, min_demand=3).window
    assert window == Window(max_demand=4, min_demand=3)


@pytest.mark.parametrize(
    ("key", "text", "options"),
    [
        ("min_demand", "goes with max_demand beside it", {"min_demand": 1}),
        (
            "max_demand",
            "must be above min_demand (4), got 4",
            {"max_demand": 4, "min_demand": 4},
        ),
        (
            "max_demand",
            "must be at least batch_size (3), got 2",
            {"max_demand": 2, "batch_size": 3},
        ),
        (
            "selector",
            "needs a source whose dispatcher is 'broadcast'",
            {"selector": "m:f"},
        ),
    ],
)
def test_what_does_not_fit_is_said_with_its_key(
    key: str, text: str, options: dict[str, int]
) -> None:
    assert found(**options) == [OptionConflict(key, f"{key} {text}")]  # type: ignore[arg-type]


def test_manual_demand_has_no_windows() -> None:
    problems = found(is_manual=True, max_demand=4, min_demand=1)

    assert [each.key for each in problems] == ["max_demand", "min_demand"]


def test_a_selector_fits_a_source_that_broadcasts() -> None:
    assert found(broadcasts=True, selector="m:f") == []


def test_each_producer_is_asked_within_its_own_window() -> None:
    consumer = Consumer(process("a"), windows={"south": Window(max_demand=5)})

    for source in ("north", "south"):
        consumer.open(source, 1.0)

    assert asked(consumer) == {"north": 1, "south": 5}


def test_a_window_of_its_own_stands_whatever_the_others_become() -> None:
    consumer = Consumer(process("a"), windows={"south": Window(max_demand=5)})
    for source in ("north", "south"):
        consumer.open(source, 1.0)

    consumer.retune(Window(max_demand=9))

    assert asked(consumer) == {"north": 9, "south": 5}


def test_all_processes_of_a_step_have_the_window_of_its_kind_at_each_run() -> None:
    consumer = Consumer(process("a"), windows={"step": Window(max_demand=3)})
    for source in ("step-1", "step-2"):
        consumer.open(source, 1.0, "step")
    [first, _] = consumer.subscriptions

    consumer.received(Cancel(subscription=first.id, reason="lease ended"), 2.0)

    assert asked(consumer) == {"step-1": 3, "step-2": 3}

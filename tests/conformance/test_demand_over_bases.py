"""What is asked for, what waits, and who gets it, over all bases."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from actors.demand.job import Accounting
from tests.conformance.bases import Pipeline, account, done_in, makers_of, stage
from tests.conformance.test_over_bases import (
    BROADCAST,
    MANUAL,
    OWN_OPTIONS,
    is_back,
)

if TYPE_CHECKING:
    from actors.status.model import SystemStatus

Start = Callable[..., Pipeline]

WINDOWS = """dispatcher = "broadcast"
[[processor]]
name = "one"
process = "spooled:double"
count = 1
max_demand = 1

[[processor]]
name = "high"
process = "spooled:double"
count = 1
max_demand = 10
min_demand = 8

[[processor]]
name = "low"
process = "spooled:double"
count = 1
max_demand = 10
min_demand = 2

[[processor]]
name = "half"
process = "spooled:double"
count = 1
max_demand = 10
"""
#: What each has asked for and not got, once each is done with none, one, two... jobs.
DEMANDS = {
    "one": (1, 1, 1, 1, 1, 1, 1, 1, 1),
    "high": (10, 9, 10, 9, 10, 9, 10, 9, 10),
    "low": (10, 9, 8, 7, 6, 5, 4, 3, 10),
    "half": (10, 9, 8, 7, 6, 10, 9, 8, 7),
}
TWO = MANUAL.replace("count = 1", "count = 2")
PARTITIONED = """dispatcher = "partition"
partition_by = "spooled:parity"
[[processor]]
name = "last"
process = "spooled:double"
count = {count}
demand = "{demand}"
"""
SIEVE = """
[[processor]]
name = "first"
process = "spooled:pair_of_even"
count = 1

[[processor]]
name = "last"
process = "spooled:total"
from = ["first"]
count = 1
"""


def demand_is(name: str, count: int) -> Callable[[SystemStatus], bool]:
    """Whether so much is asked for of, or by, a stage."""
    return lambda status: stage(status, name).get("demand") == count


def test_01_02_03_04_54_each_asks_again_at_its_own_threshold_and_never_before(
    pipeline_of: Start, pytestconfig: pytest.Config
) -> None:
    expected = dict(DEMANDS)
    if pytestconfig.getoption("--concurrency"):
        # Where eight run at a time, no half of ten is waited for.
        del expected["half"]
    pipeline = pipeline_of(WINDOWS)

    for count in range(9):
        if count:
            pipeline.push(count)
        demands = {name: each[count] for name, each in expected.items()}

        def as_expected(
            status: SystemStatus,
            done: int = 4 * count,
            demands: dict[str, int] = demands,
        ) -> bool:
            asked = {each: stage(status, f"{each}-1")["demand"] for each in demands}
            return account(done=done)(status) and asked == demands

        pipeline.reach(as_expected, f"after {count}: {demands}")


def test_06_a_demand_that_nothing_met_is_remembered_and_not_repeated(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL)

    pipeline.ask("last-1", 3)
    pipeline.reach(demand_is("spool", 3), "three are asked for")
    pipeline.push(1)
    pipeline.reach(account(done=1), "one is done")
    left = stage(pipeline.status(), "spool")["demand"]
    pipeline.push(2, 3, 4)

    pipeline.reach(account(done=3, buffered=1), "two more are done")
    assert (left, stage(pipeline.status(), "spool")["demand"]) == (2, 0)


def test_07_what_nobody_asked_for_waits_and_goes_first(pipeline_of: Start) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.push(1, 2, 3)
    pipeline.reach(account(buffered=3), "three wait")

    pipeline.ask("last-1", 1)
    pipeline.reach(account(done=1), "one is done")
    pipeline.push(4)
    pipeline.reach(account(buffered=3), "another waits behind the two")
    pipeline.ask("last-1", 2)

    pipeline.reach(account(done=3, buffered=1), "the two are done")
    first, *others = [each["job_id"] for each in done_in(pipeline, 3)]
    assert (first, set(others)) == (1, {2, 3})


def test_10_options_that_could_never_work_are_refused_where_they_stand(
    pipeline_of: Start,
) -> None:
    refused = r"test.toml:17: max_demand must be above min_demand \(10\) for processor"

    with pytest.raises((ValueError, AssertionError), match=refused):
        pipeline_of(WINDOWS.replace("min_demand = 8", "min_demand = 10"))


@pytest.mark.parametrize(("keep", "kept"), [("first", [1, 2]), ("last", [3, 4])])
def test_11_12_14_a_full_buffer_keeps_the_first_or_the_last_and_names_the_others(
    keep: str, kept: list[int], pipeline_of: Start
) -> None:
    config = f'buffer = 2\nbuffer_keep = "{keep}"\n{MANUAL}'
    pipeline = pipeline_of(config)
    pipeline.push(1, 2, 3, 4)
    pipeline.reach(account(fetched=4, buffered=2, dropped=2), "two are dropped")

    pipeline.ask("last-1", 2)

    pipeline.reach(account(done=2, dropped=2), "the others are done")
    assert sorted(each["job_id"] for each in done_in(pipeline, 2)) == kept
    pipeline.reach(lambda _: len(pipeline.events("job.dropped")) == 2, "that is told")
    dropped = {each["job_id"] for each in pipeline.events("job.dropped")}
    assert dropped == {1, 2, 3, 4} - set(kept)


def test_13_15_a_full_buffer_stops_the_poller_and_every_account_is_exact(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(f"buffer = 2\n{MANUAL}")
    exact: list[bool] = []

    def reach(condition: Callable[[SystemStatus], bool], what: str) -> None:
        def looked(status: SystemStatus) -> bool:
            counts = Accounting(**status["accounting"])
            exact.append(counts.balanced)
            return condition(status)

        pipeline.reach(looked, what)

    pipeline.push(1)
    pipeline.push(2)
    pipeline.push(3)
    reach(lambda e: stage(e, "spool")["waiting_for"] == "room", "the buffer is full")
    full = pipeline.status()
    pipeline.ask("last-1", 1)
    reach(account(done=1), "one is done")
    pipeline.kill("last-1")
    reach(is_back("last-1"), "the processor is back")
    pipeline.ask("last-1", 2)
    reach(account(done=3), "all are done")

    assert account(fetched=2, buffered=2)(full)
    assert all(exact)


def test_17_a_mark_behind_jobs_that_are_dropped_passes_at_once(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(f'buffer = 2\nbuffer_keep = "last"\n{MANUAL}')
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "two wait")
    waiting = pipeline.begin_to_wait()

    pipeline.push(3, 4)

    pipeline.reach(lambda _: waiting.is_told(), "the mark has passed")
    assert account(buffered=2, dropped=2, done=0)(pipeline.status())


def test_20_demand_before_a_closed_gate_adds_up(pipeline_of: Start) -> None:
    pipeline = pipeline_of(f'demand = "accumulate"\n{MANUAL}')

    pipeline.ask("last-1", 1)
    pipeline.ask("last-1", 2)
    pipeline.reach(demand_is("spool", 3), "three are asked for")
    pipeline.push(1, 2, 3, 4)
    pipeline.reach(account(buffered=4), "all wait")
    pipeline.set_demand("forward")

    pipeline.reach(account(done=3, buffered=1), "three are done")


def test_23_the_largest_demand_comes_first_and_a_later_ask_changes_that(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(TWO)
    pipeline.ask("last-1", 2)
    pipeline.ask("last-2", 3)
    pipeline.reach(demand_is("spool", 5), "five are asked for")

    pipeline.push(1)
    pipeline.reach(account(done=1), "one is done")
    pipeline.ask("last-1", 2)
    pipeline.reach(demand_is("spool", 6), "two more are asked for")
    pipeline.push(2)

    pipeline.reach(account(done=2), "another is done")
    assert makers_of(pipeline, 2) == ["last-2", "last-1"]


def test_24_30_each_gets_what_it_asked_for_and_one_that_asks_for_none_blocks_nobody(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(TWO)

    pipeline.ask("last-2", 3)
    pipeline.push(1, 2, 3, 4, 5)
    pipeline.reach(account(done=3, buffered=2), "three are done")
    pipeline.ask("last-1", 1)

    pipeline.reach(account(done=4, buffered=1), "another is done")
    assert makers_of(pipeline, 4) == ["last-2"] * 3 + ["last-1"]


def test_25_equal_demands_take_turns(pipeline_of: Start) -> None:
    pipeline = pipeline_of(TWO)
    pipeline.ask("last", 4)
    pipeline.reach(demand_is("spool", 4), "two each are asked for")

    for number in (1, 2, 3, 4):
        pipeline.push(number)
        pipeline.reach(account(done=number, in_flight=0), f"{number} are done")

    makers = makers_of(pipeline, 4)
    assert sorted(makers[:2]) == sorted(makers[2:]) == ["last-1", "last-2"]


def test_26_what_one_that_leaves_had_asked_for_is_not_owed_to_another(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(TWO)
    pipeline.ask("last-1", 5)
    pipeline.reach(demand_is("spool", 5), "five are asked for")

    pipeline.detach("last-1")
    pipeline.reach(demand_is("spool", 0), "nothing is asked for any more")
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "both wait")
    pipeline.ask("last-2", 1)

    pipeline.reach(account(done=1, buffered=1), "one is done")


def test_27_of_two_subscriptions_one_may_go_alone(pipeline_of: Start) -> None:
    pipeline = pipeline_of(OWN_OPTIONS)
    before = stage(pipeline.status(), "last-1")["pid"]

    pipeline.detach("first-1")
    pipeline.detach("first-2")
    pipeline.reach(demand_is("last-1", 5), "it asks of the fetcher as before")
    pipeline.push(1, 2)

    pipeline.reach(account(done=2), "both are done")
    last = stage(pipeline.status(), "last-1")
    assert (last["pid"], last["restarts"]) == (before, 0)


def test_32_a_kind_that_is_silent_stops_the_poller_once_the_buffer_is_full(
    pipeline_of: Start,
) -> None:
    config = BROADCAST.format(archive="double", demand="manual")
    pipeline = pipeline_of(f"buffer = 2\n{config}")
    for number in (1, 2, 3):
        pipeline.push(number)

    pipeline.reach(account(done=2, buffered=2), "the other kind goes on until then")
    pipeline.reach(
        lambda status: stage(status, "spool")["waiting_for"] == "room", "full"
    )
    pipeline.ask("archive-1", 3)

    pipeline.reach(account(done=6), "all are done")


def test_33_one_that_comes_late_shares_what_waits_for_its_kind(
    pipeline_of: Start,
) -> None:
    config = BROADCAST.format(archive="double", demand="automatic")
    pipeline = pipeline_of(config.replace("count = 1", "count = 0", 1))
    pipeline.push(1, 2)
    pipeline.reach(account(done=2, buffered=2), "one kind is done with both")

    pipeline.attach("mail")

    pipeline.reach(account(done=4), "and the other, late")
    assert stage(pipeline.status(), "mail-1")["done"] == 2


def test_36_40_a_hot_partition_eats_nobodys_credit_and_loses_nothing(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(PARTITIONED.format(count=2, demand="manual"))
    pipeline.ask("last", 4)
    pipeline.reach(demand_is("spool", 4), "two each are asked for")

    pipeline.push(1, 3, 5)
    pipeline.reach(account(done=2, buffered=1), "one has what it asked for")
    pipeline.push(2)
    pipeline.reach(account(done=3, buffered=1), "the other has its own credit")
    hot, same, other = makers_of(pipeline, 3)
    pipeline.kill(hot)
    pipeline.reach(is_back(hot), "it is back")
    pipeline.ask("last", 4)

    pipeline.reach(account(done=4), "nothing is lost")
    assert hot == same != other


def test_37_jobs_of_a_partition_wait_for_somebody_to_come(pipeline_of: Start) -> None:
    pipeline = pipeline_of(PARTITIONED.format(count=1, demand="automatic"))
    pipeline.detach("last-1")
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "both wait")

    pipeline.attach("last")

    pipeline.reach(account(done=2), "both are done")


def test_62_a_partition_is_with_one_processor_in_order(pipeline_of: Start) -> None:
    config = PARTITIONED.format(count=2, demand="automatic")
    pipeline = pipeline_of(config + "max_demand = 1\n")
    pipeline.reach(demand_is("spool", 2), "both ask")

    pipeline.push(*range(1, 11))
    pipeline.reach(account(done=10), "all are done")

    done = [(each["job_id"], each["processor"]) for each in done_in(pipeline, 10)]
    for first in (1, 2):
        place = [(number, maker) for number, maker in done if number % 2 == first % 2]
        assert [number for number, _ in place] == [*range(first, 11, 2)]
        assert len({maker for _, maker in place}) == 1


def test_42_43_one_job_is_one_result_whatever_a_step_makes_of_it(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(SIEVE)

    pipeline.push(1, 2, 3, 4)

    pipeline.reach(account(fetched=4, done=4), "all are done")
    pipeline.reach(lambda _: len(pipeline.events("job.done")) == 4, "each is told")
    results = {
        each["job"]["id"]: each["result"] for each in pipeline.events("job.done")
    }
    assert results == {1: None, 2: 4, 3: None, 4: 8}
    assert stage(pipeline.status(), "last-1")["done"] == 2

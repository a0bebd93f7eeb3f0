"""What takes a supervisor or several stages, over the harness and over processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.status.model import SystemStatus
from tests.conformance.bases import Pipeline, account, done_in, stage

Start = Callable[..., Pipeline]
Status = SystemStatus

MANUAL = """
[[processor]]
name = "last"
process = "spooled:double"
demand = "manual"
count = 1
"""
STEPS = """
[[processor]]
name = "first"
process = "spooled:passed"
count = 1

[[processor]]
name = "last"
process = "spooled:double"
from = ["first"]
count = 1
cancel = "{cancel}"
"""
MANUAL_STEP = """
[[processor]]
name = "first"
process = "spooled:passed"
count = 2

[[processor]]
name = "last"
process = "spooled:double"
from = ["first"]
demand = "manual"
count = 1
"""
OWN_OPTIONS = """
[[processor]]
name = "first"
process = "spooled:passed"
from = ["spool"]
count = 2
max_demand = 3

[[processor]]
name = "last"
process = "spooled:double"
count = 1

[[processor.from]]
name = "spool"
max_demand = 5
cancel = "transient"

[[processor.from]]
name = "first"
max_demand = 2
"""
SELECTED = """dispatcher = "broadcast"
[[processor]]
name = "all"
process = "spooled:double"
count = 1

[[processor]]
name = "odd"
process = "spooled:double"
from = [{ name = "spool", selector = "tests.support.spooled:is_odd" }]
count = 1
"""
GATE = """demand = "accumulate"
[[processor]]
name = "last"
process = "spooled:double"
count = 1
"""
BATCHES = """
[[processor]]
name = "last"
process = "spooled:sizes"
count = 1
max_demand = {max_demand}
batch_size = 5
batch_timeout_s = 600
"""
BATCH_STEP = """
[[processor]]
name = "first"
process = "spooled:sizes"
count = 1
max_demand = 5
batch_size = 5
batch_timeout_s = 600

[[processor]]
name = "last"
process = "spooled:passed"
from = ["first"]
count = 1
"""
BATCHES_BEHIND_A_STEP = """
[[processor]]
name = "first"
process = "spooled:passed"
count = 2

[[processor]]
name = "last"
process = "spooled:sizes"
from = ["first"]
count = 1
max_demand = 5
batch_size = 5
batch_timeout_s = 600
"""
LIMITED = """rate_limit = 2
rate_interval_s = {interval_s}
[[processor]]
name = "last"
process = "spooled:double"
count = 2
max_demand = 4
"""
BROADCAST = """settle = "spooled:settle"
dispatcher = "broadcast"
[[processor]]
name = "mail"
process = "spooled:double"
count = 1

[[processor]]
name = "archive"
process = "spooled:{archive}"
demand = "{demand}"
count = 1
"""


def is_back(name: str) -> Callable[[Status], bool]:
    """Whether a stage was restarted, and runs."""

    def restarted(status: Status) -> bool:
        found = stage(status, name)
        return bool(found and found["restarts"] and found["state"] == "running")

    return restarted


def test_05_manual_demand_yields_exactly_what_was_asked_for(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.push(*range(1, 121))
    status = pipeline.reach(account(buffered=120), "nothing arrives")
    assert status
    idle = stage(pipeline.status(), "last-1")

    pipeline.ask("last-1", 50)
    pipeline.reach(account(done=50, in_flight=0), "fifty are done")
    pipeline.ask("last", 50)
    pipeline.reach(account(done=100, in_flight=0), "fifty more are done")

    assert (idle["waiting_for"], idle["demand"], idle["done"]) == ("ask", 0, 0)
    assert stage(pipeline.status(), "last-1")["demand"] == 0
    assert account(buffered=20)(pipeline.status())


def test_05_manual_demand_outlives_the_fetcher(pipeline_of: Start) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.ask("last-1", 3)

    pipeline.kill("spool")
    pipeline.reach(is_back("spool"), "the fetcher is back")
    pipeline.push(1, 2, 3, 4)

    pipeline.reach(account(done=3, buffered=1), "three are done")
    assert stage(pipeline.status(), "last-1")["demand"] == 0


def test_05_manual_demand_ends_with_its_processor(pipeline_of: Start) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.ask("last-1", 3)

    pipeline.kill("last-1")
    pipeline.reach(is_back("last-1"), "the processor is back")
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "two wait")

    assert stage(pipeline.status(), "last-1")["demand"] == 0
    pipeline.ask("last-1", 1)
    pipeline.reach(account(done=1, buffered=1), "one is done")


def test_05_41_manual_demand_of_a_step_stops_the_step_as_well(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL_STEP)
    pipeline.push(*range(1, 11))
    pipeline.reach(account(buffered=10), "nothing moves")

    pipeline.ask("last", 6)

    pipeline.reach(account(done=6, in_flight=0, buffered=4), "six are done")
    assert stage(pipeline.status(), "last-1")["demand"] == 0


def test_05_what_a_step_that_dies_did_not_deliver_still_comes(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL_STEP)
    pipeline.ask("last-1", 4)

    pipeline.kill("first-1")
    pipeline.reach(is_back("first-1"), "the step is back")
    pipeline.push(*range(1, 7))

    pipeline.reach(account(done=4, in_flight=0, buffered=2), "four are done")
    assert stage(pipeline.status(), "last-1")["demand"] == 0


def test_05_what_a_step_that_leaves_did_not_deliver_comes_from_another(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL_STEP)
    pipeline.ask("last-1", 4)

    pipeline.detach("first-1")
    pipeline.push(*range(1, 7))

    pipeline.reach(account(done=4, in_flight=0, buffered=2), "four are done")


def test_05_a_function_may_ask_when_it_is_started_and_at_every_restart(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL.replace('"manual"', '"spooled:two_at_first"'))
    pipeline.push(1, 2, 3, 4, 5)
    pipeline.reach(account(done=2, buffered=3), "two are done")

    pipeline.kill("last-1")

    pipeline.reach(account(done=4, buffered=1), "two more are done")


def test_05_a_function_may_keep_ask_and_use_it_for_each_job(
    pipeline_of: Start,
) -> None:
    config = MANUAL.replace('"manual"', '"spooled:keep_asking"')
    pipeline = pipeline_of(config.replace("double", "one_more"))

    pipeline.push(1, 2, 3, 4)

    pipeline.reach(account(done=3, buffered=1), "three are done")


def test_16_18_a_mark_passes_when_what_was_before_it_has_ended(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.push(1, 2, 3)
    pipeline.reach(account(buffered=3), "three wait")
    waiting = pipeline.begin_to_wait()
    pipeline.push(4, 5)
    pipeline.reach(account(buffered=5), "two more wait")

    pipeline.ask("last-1", 2)
    pipeline.reach(account(done=2), "two are done")
    early = waiting.is_told()
    pipeline.ask("last-1", 1)
    pipeline.reach(account(done=3), "three are done")

    assert not early
    pipeline.reach(lambda _: waiting.is_told(), "the mark has passed")
    assert account(buffered=2)(pipeline.status())


def test_16_a_mark_outlives_the_fetcher(pipeline_of: Start) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "two wait")
    waiting = pipeline.begin_to_wait()

    pipeline.kill("spool")
    pipeline.reach(is_back("spool"), "the fetcher is back")
    pipeline.ask("last-1", 1)
    pipeline.reach(account(done=1), "one is done")
    early = waiting.is_told()
    pipeline.ask("last-1", 1)

    assert not early
    pipeline.reach(lambda _: waiting.is_told(), "the mark has passed")


def test_19_nothing_is_sent_while_demand_accumulates(
    pipeline_of: Start, pytestconfig: pytest.Config
) -> None:
    places = int(pytestconfig.getoption("--concurrency") or 1)
    pipeline = pipeline_of(GATE)
    pipeline.push(1, 2, 3)
    pipeline.reach(account(buffered=3), "three are fetched")
    held = stage(pipeline.status(), "spool")

    pipeline.set_demand("forward")

    assert (held["waiting_for"], held["demand"]) == ("hold", places)
    pipeline.reach(account(done=3), "all are done")


def test_21_22_a_gate_outlives_its_fetcher_and_the_processors_behind_it(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(GATE)
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "two are fetched")

    pipeline.set_demand("accumulate")
    for name in ("spool", "last-1"):
        pipeline.kill(name)
        pipeline.reach(is_back(name), f"{name} is back")
    pipeline.push(3)
    pipeline.reach(account(buffered=3), "one more is fetched")
    pipeline.set_demand("forward")

    pipeline.reach(account(done=3), "all are done")


@pytest.mark.parametrize(
    ("cancel", "restarts"), [("temporary", 0), ("transient", 1), ("permanent", 1)]
)
def test_45_a_source_that_dies_takes_along_who_is_bound_to_it(
    cancel: str, restarts: int, pipeline_of: Start
) -> None:
    pipeline = pipeline_of(STEPS.format(cancel=cancel))

    pipeline.kill("first-1")
    pipeline.reach(is_back("first-1"), "the step is back")
    pipeline.push(1)

    pipeline.reach(account(done=1), "work goes on")
    last = stage(pipeline.status(), "last-1")
    assert (last["restarts"], last["state"]) == (restarts, "running")


def test_45_a_fetcher_that_dies_takes_along_who_is_bound_to_it(
    pipeline_of: Start,
) -> None:
    bound = 'cancel = "transient"\ndemand = "spooled:two_at_first"'
    pipeline = pipeline_of(MANUAL.replace('demand = "manual"', bound))
    before = stage(pipeline.status(), "last-1")["pid"]

    pipeline.kill("spool")
    pipeline.reach(is_back("last-1"), "the processor was started anew")
    pipeline.push(1, 2)

    pipeline.reach(account(done=2), "work goes on")
    after = stage(pipeline.status(), "last-1")
    assert (after["restarts"], after["pid"] == before) == (1, False)


def test_45_one_subscription_may_bind_and_another_not(pipeline_of: Start) -> None:
    pipeline = pipeline_of(OWN_OPTIONS)

    pipeline.kill("first-1")
    pipeline.reach(is_back("first-1"), "the step is back")
    unmoved = stage(pipeline.status(), "last-1")["restarts"]
    pipeline.kill("spool")
    pipeline.reach(is_back("last-1"), "the processor was started anew")
    pipeline.push(1, 2)

    pipeline.reach(account(done=2), "work goes on")
    assert (unmoved, stage(pipeline.status(), "last-1")["restarts"]) == (0, 1)


def test_49_each_subscription_asks_within_its_own_window(pipeline_of: Start) -> None:
    pipeline = pipeline_of(OWN_OPTIONS)

    def asks(status: Status) -> bool:
        # Five of the fetcher, two of each process of the step; and each of those
        # passes on what is asked of it.
        names = ("last-1", "first-1", "first-2")
        return [stage(status, name).get("demand") for name in names] == [9, 2, 2]

    pipeline.reach(asks, "all has been asked for")
    pipeline.set_max_demand(7)

    pipeline.reach(asks, "its own windows stand")


def test_34_a_selector_may_be_of_one_subscription(pipeline_of: Start) -> None:
    pipeline = pipeline_of(SELECTED)

    pipeline.push(1, 2, 3, 4, 5)

    pipeline.reach(account(fetched=8, done=8), "all are done")
    done = [stage(pipeline.status(), name)["done"] for name in ("all-1", "odd-1")]
    assert done == [5, 3]


@pytest.mark.parametrize("cancel", ["temporary", "transient"])
def test_45_a_source_that_leaves_is_outlived(cancel: str, pipeline_of: Start) -> None:
    pipeline = pipeline_of(STEPS.format(cancel=cancel))

    pipeline.detach("first-1")

    assert stage(pipeline.status(), "last-1")["state"] == "running"


def test_45_a_permanent_processor_leaves_with_its_source(pipeline_of: Start) -> None:
    pipeline = pipeline_of(STEPS.format(cancel="permanent"))

    pipeline.detach("first-1")

    pipeline.reach(lambda status: not stage(status, "last-1"), "it has left")
    assert pipeline.status()["processors"] == []


def test_47_a_source_that_is_not_there_yet_is_waited_for(pipeline_of: Start) -> None:
    steps = STEPS.format(cancel="permanent")
    pipeline = pipeline_of(steps.replace("count = 1", "count = 0", 1))
    pipeline.push(1)
    pipeline.reach(account(buffered=1), "one is fetched")

    last = stage(pipeline.status(), "last-1")

    assert (last["state"], last["restarts"]) == ("running", 0)


def test_49_new_options_harm_no_permanent_processor(pipeline_of: Start) -> None:
    pipeline = pipeline_of(STEPS.format(cancel="permanent"))
    pipeline.set_max_demand(3)
    pipeline.push(1, 2)

    pipeline.reach(account(done=2), "all are done")
    assert stage(pipeline.status(), "last-1")["restarts"] == 0


def test_50_all_that_a_source_had_is_done_before_the_end(pipeline_of: Start) -> None:
    pipeline = pipeline_of(MANUAL, until_idle_s="3.0")
    pipeline.push(1, 2, 3)
    pipeline.reach(account(buffered=3), "three are fetched")

    pipeline.ask("last-1", 3)

    assert pipeline.has_ended()


def test_57_a_drain_that_takes_too_long_ends_at_its_deadline_and_says_so(
    pipeline_of: Start,
) -> None:
    # Nothing keeps these jobs, and nobody asks for them.
    pipeline = pipeline_of(MANUAL, journal="none", drain_timeout_s="0.5")
    pipeline.push(1, 2)
    pipeline.reach(account(buffered=2), "two are fetched")

    accounting = pipeline.stop()

    assert (accounting["fetched"], accounting["buffered"]) == (2, 2)


def sizes(pipeline: Pipeline, count: int) -> list[int]:
    """How large the batch of each of so many jobs was, in the order of their ends."""
    # They are done before the log tells of it.
    return [each["result"] for each in done_in(pipeline, count)]


@pytest.mark.parametrize("max_demand", [5, 6, 9, 50])
def test_61_batches_fill_whatever_the_window_is(
    max_demand: int, pipeline_of: Start
) -> None:
    pipeline = pipeline_of(BATCHES.format(max_demand=max_demand))

    pipeline.push(*range(1, 21))

    pipeline.reach(account(done=20), "all are done, and no batch waited for its time")
    assert sizes(pipeline, 20) == [5] * 20


def test_61_batches_fill_whatever_the_next_step_asks_for(pipeline_of: Start) -> None:
    pipeline = pipeline_of(BATCH_STEP)

    pipeline.push(*range(1, 11))

    pipeline.reach(account(done=10), "all are done")
    assert sizes(pipeline, 10) == [5] * 10


def test_61_batches_fill_from_several_processes_of_a_step(pipeline_of: Start) -> None:
    pipeline = pipeline_of(BATCHES_BEHIND_A_STEP)

    pipeline.push(*range(1, 16))

    pipeline.reach(account(done=15), "all are done")
    assert sizes(pipeline, 15) == [5] * 15


@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
@pytest.mark.parametrize(
    "config",
    [BATCHES.format(max_demand=5), BATCH_STEP, BATCHES_BEHIND_A_STEP],
    ids=["batches", "a step", "behind a step"],
)
def test_61_65_a_stop_flushes_a_batch_that_is_not_full(
    config: str, journal: str, pipeline_of: Start, tmp_path: Path
) -> None:
    file = journal if journal == "none" else str(tmp_path / journal)
    pipeline = pipeline_of(config, journal=file)
    pipeline.push(1, 2, 3)
    pipeline.reach(account(in_flight=3), "three wait for two more")

    accounting = pipeline.stop()

    assert (accounting["fetched"], accounting["done"]) == (3, 3)
    done = pipeline.events("job.done")
    assert [each["result"] for each in done] == [3, 3, 3]


def test_63_a_producer_that_dies_comes_back_alone_and_work_goes_on(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(STEPS.format(cancel="temporary"))
    before = pipeline.status()

    pipeline.kill("spool")
    pipeline.reach(is_back("spool"), "the fetcher is back")
    pipeline.push(1, 2)

    pipeline.reach(account(done=2), "work goes on")
    pids = [each["pid"] for each in before["processors"]]
    assert [each["pid"] for each in pipeline.status()["processors"]] == pids


def test_65_66_a_drain_ends_what_was_fetched_however_slowly_it_may_go(
    pipeline_of: Start,
) -> None:
    config = GATE.replace('"accumulate"', '"forward"\nrate_limit = 2')
    pipeline = pipeline_of(config, journal="none")
    pipeline.push(1, 2, 3, 4, 5, 6)
    pipeline.reach(account(fetched=6), "six are fetched")

    accounting = pipeline.stop()

    assert (accounting["fetched"], accounting["done"]) == (6, 6)


def test_67_what_was_sent_counts_over_crashes(pipeline_of: Start) -> None:
    pipeline = pipeline_of(LIMITED.format(interval_s=60))
    pipeline.push(*range(1, 7))
    pipeline.reach(account(fetched=6, done=2), "two are done")

    for restarts in (1, 2):
        pipeline.kill("spool")
        pipeline.reach(
            lambda status, restarts=restarts: (  # type: ignore[misc]
                stage(status, "spool")["restarts"] == restarts
                and stage(status, "spool").get("rate_next_s")
            ),
            "the fetcher is back, and waits for its limit",
        )

    assert account(done=2, buffered=4)(pipeline.status())


def test_67_limit_and_interval_change_while_it_runs(pipeline_of: Start) -> None:
    pipeline = pipeline_of(LIMITED.format(interval_s=600))
    pipeline.push(*range(1, 7))
    pipeline.reach(account(fetched=6, done=2), "two are done")

    pipeline.set_value("rate_limit", 3)
    pipeline.reach(account(done=3), "one more is done")
    pipeline.set_value("rate_interval_s", 0.5)

    pipeline.reach(account(done=6), "all are done")


def test_31_69_a_broadcast_job_is_acknowledged_once_as_a_whole(
    pipeline_of: Start,
) -> None:
    config = BROADCAST.format(archive="refuse_odd", demand="automatic")
    pipeline = pipeline_of(config, retries="1")

    pipeline.push(1, 2)
    pipeline.reach(lambda _: len(pipeline.told()) == 2, "both are told")
    pipeline.reach(account(done=3, quarantined=1), "all have ended")

    mail = {"state": "done", "result": 2}
    archive = {"state": "quarantined", "error": "ValueError: odd"}
    told = dict(pipeline.told())
    assert told[1] == {
        "state": "quarantined",
        "error": "archive: ValueError: odd",
        "kinds": {"mail": mail, "archive": archive},
    }
    assert told[2]["state"] == "done"
    assert told[2]["result"] == {"mail": 4, "archive": 4}


def test_31_69_nothing_is_acknowledged_before_the_last_copy_has_ended(
    pipeline_of: Start,
) -> None:
    config = BROADCAST.format(archive="double", demand="manual")
    pipeline = pipeline_of(config)
    pipeline.push(1, 2)
    pipeline.reach(account(done=2, buffered=2), "one kind is done with both")

    pipeline.kill("spool")
    pipeline.reach(is_back("spool"), "the fetcher is back")
    early = pipeline.told()
    pipeline.ask("archive-1", 2)
    pipeline.reach(account(done=4), "the other kind as well")
    pipeline.reach(lambda _: len(pipeline.told()) == 2, "both are told")

    assert early == []
    assert {state["state"] for _, state in pipeline.told()} == {"done"}


@pytest.mark.parametrize(
    "config", [MANUAL, BATCHES.format(max_demand=5)], ids=["jobs", "batch"]
)
def test_44_50_a_fetcher_leaves_when_what_is_out_has_ended_and_comes_back(
    config: str, pipeline_of: Start
) -> None:
    pipeline = pipeline_of(config)
    is_manual = config == MANUAL
    pipeline.push(1, 2, 3)
    if is_manual:
        pipeline.reach(account(buffered=3), "three wait")
        pipeline.ask("last-1", 1)
        pipeline.reach(account(done=1), "one is done")
    else:
        pipeline.reach(account(in_flight=3), "three wait for two more")

    pipeline.detach("spool")

    gone = pipeline.status()
    pipeline.push(4)
    pipeline.attach_fetcher("spool")
    back = pipeline.reach(account(fetched=4), "it fetches again") and pipeline.status()
    if is_manual:
        pipeline.ask("last-1", 3)
        pipeline.reach(account(done=4), "all are done")
    done = pipeline.stop()["done"]

    assert done == 4
    assert gone["fetchers"] == []
    assert account(fetched=1 if is_manual else 3, buffered=0)(gone)
    assert stage(back, "spool")["state"] == "running"


@pytest.mark.parametrize("cancel", ["transient", "permanent"])
def test_45_a_processor_does_as_told_when_its_fetcher_leaves(
    cancel: str, pipeline_of: Start
) -> None:
    config = MANUAL.replace('demand = "manual"', f'cancel = "{cancel}"')
    pipeline = pipeline_of(config)

    pipeline.detach("spool")

    left = cancel == "permanent"
    pipeline.reach(
        lambda status: bool(stage(status, "last-1")) is not left,
        "it is there" if not left else "it has left",
    )


def test_45_a_fetcher_that_was_detached_stays_so_under_the_next_root(
    pipeline_of: Start,
) -> None:
    pipeline = pipeline_of(MANUAL)
    pipeline.detach("spool")

    pipeline.kill_root()

    pipeline.reach(lambda status: stage(status, "last-1"), "the next root is there")
    assert pipeline.status()["fetchers"] == []
    pipeline.attach_fetcher("spool")
    pipeline.push(1)
    pipeline.reach(account(fetched=1), "it fetches again")


def test_31_on_demand_no_more_is_taken_than_every_kind_has_asked_for(
    pipeline_of: Start,
) -> None:
    config = BROADCAST.format(archive="double", demand="manual")
    pipeline = pipeline_of("on_demand = true\n" + config)
    pipeline.push(1, 2, 3)

    pipeline.ask("archive-1", 2)

    pipeline.reach(account(fetched=4, done=4), "two jobs, a copy for each kind")
    assert account(fetched=4, buffered=0)(pipeline.status())

"""The harness: the same actors, in one thread, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.config.errors import ConfigError
from actors.demand.messages import Demand, Done, Jobs
from actors.status.readiness import problems
from actors.supervision.messages import StatusAnswer
from actors.testing import CommandRefusedError, NotIdleError, SystemEndedError
from actors.testing.base import Calm

Make = Callable[..., Any]


def jobs(count: int, first: int = 1) -> list[dict[str, int]]:
    return [{"id": number} for number in range(first, first + count)]


def test_every_job_is_done_once_in_order(pipeline: Make) -> None:
    numbers = pipeline(process=lambda job: job["id"] ** 2)

    numbers.push(jobs(5))
    numbers.run_until_idle()

    assert numbers.results == [1, 4, 9, 16, 25]
    assert numbers.accounting["done"] == 5


def test_an_hour_of_polling_takes_no_time(pipeline: Make) -> None:
    polls = []
    source = pipeline(fetch=lambda: polls.append(1), every_s=2.0)
    began = time.monotonic()

    source.advance(seconds=3600)

    assert 1790 < len(polls) < 1810
    assert time.monotonic() - began < 30


def test_jobs_take_their_time_and_processors_share_them(pipeline: Make) -> None:
    slow = pipeline(processors=2, process_s=10.0)

    slow.push(jobs(4))
    slow.run_until_idle()

    assert [each.processor for each in slow.done[:2]] == ["processor-1", "processor-2"]
    assert 20.0 < slow.now < 21.0


def test_without_demand_the_buffer_fills_and_polling_stops(pipeline: Make) -> None:
    full = pipeline(processors=0, buffer=3)

    full.push(jobs(10))
    full.advance(60)

    status = full.status()
    assert status["accounting"]["buffered"] == 3
    assert status["fetchers"][0]["waiting_for"] == "room"
    assert full.attach(2) == ["processor-1", "processor-2"]
    full.run_until_idle()
    assert len(full.done) == 10


def test_on_demand_a_source_keeps_what_nobody_asked_for(pipeline: Make) -> None:
    shared = pipeline(processors=2, process_s=30.0, every_s=2.0, on_demand=True)

    shared.push(jobs(10))
    shared.advance(29)

    [fetcher] = shared.status()["fetchers"]
    assert shared.accounting["fetched"] == 2
    assert (fetcher["waiting_for"], fetcher["buffered"]) == ("demand", 0)
    shared.advance(2)
    assert shared.accounting["fetched"] == 4
    shared.run_until_idle()
    assert shared.accounting["done"] == 10
    assert shared.status()["fetchers"][0]["tally"]["skipped"]["no_demand"] > 0


def test_on_demand_nothing_is_asked_of_a_source_while_no_processor_is_there(
    pipeline: Make,
) -> None:
    alone = pipeline(processors=0, on_demand=True)

    alone.push(jobs(1))
    alone.advance(60)
    before = alone.status()
    alone.attach(1)
    alone.run_until_idle()

    assert before["fetchers"][0]["last_poll_age_s"] is None
    assert before["why"] == (
        "source fetches on demand only: there is no processor; lowtide attach adds one"
    )
    assert alone.accounting["done"] == 1


def test_on_demand_jobs_that_wait_for_another_attempt_hold_up_no_others(
    pipeline: Make,
) -> None:
    def fail(job: Any) -> Any:
        raise OSError(job)

    failing = pipeline(process=fail, processors=1, retries=2, on_demand=True)

    failing.push(jobs(3))
    failing.run_until_idle()

    assert failing.accounting["quarantined"] == 3


def test_a_job_of_a_processor_that_crashes_is_given_to_another(pipeline: Make) -> None:
    crashing = pipeline(process_s=5.0)
    crashing.push(jobs(1))
    crashing.advance(3)

    crashing.crash("processor-1")
    crashing.run_until_idle()

    [done] = crashing.done
    assert (done.attempt, done.processor) == (2, "processor-2")


def test_a_processor_that_hangs_is_replaced_when_its_lease_ends(pipeline: Make) -> None:
    hanging = pipeline(processors=1, process_s=5.0)
    hanging.push(jobs(1))
    hanging.advance(3)

    hanging.hang("processor-1")
    hanging.run_until_idle()

    [done] = hanging.done
    assert done.attempt == 2
    assert 60 < hanging.now < 90


@pytest.mark.parametrize("kind", [Demand, Jobs, Done])
def test_what_gets_lost_is_made_good(pipeline: Make, kind: type) -> None:
    lossy = pipeline(processors=1)
    lossy.run_until_idle()
    lossy.lose(next=kind)

    lossy.push(jobs(3))
    lossy.run_until_idle()

    assert [each.attempt for each in lossy.done] == [1, 1, 1]


def test_a_restart_keeps_what_the_journal_has(pipeline: Make) -> None:
    restarted = pipeline(processors=0)
    restarted.push(jobs(3))
    restarted.advance(1)

    restarted.restart()
    restarted.attach()
    restarted.run_until_idle()

    assert restarted.results == jobs(3)


def test_a_job_that_is_out_at_restarts_has_no_more_attempts_than_any_other(
    pipeline: Make,
) -> None:
    runs: list[Any] = []
    restarted = pipeline(process=runs.append, processors=1, process_s=60.0, retries=3)
    restarted.push(jobs(1))
    for _ in range(3):
        restarted.advance(10)
        restarted.restart()

    restarted.advance(600)

    assert len(runs) == 3
    [aside] = restarted.quarantined
    assert aside.error == (
        "no attempt is left after attempt 3: the fetcher ended before it heard of that"
    )
    assert restarted.accounting["quarantined"] == 1


def test_what_a_processor_did_at_the_last_attempt_counts_after_its_fetcher_died(
    pipeline: Make,
) -> None:
    once = pipeline(processors=2, process_s=60.0, retries=1)
    once.push(jobs(1))
    once.advance(10)
    once.crash("source")
    once.advance(10)
    before = once.accounting

    once.advance(60)

    assert before["quarantined"] == 1
    assert once.accounting == before | {"quarantined": 0, "done": 1}
    assert len(once.done) == 1


def test_jobs_behind_one_that_takes_too_long_keep_their_attempts(
    pipeline: Make,
) -> None:
    held_up = pipeline(
        processors=1, max_demand=3, retries=1, process_s=60.0, job_timeout_s=5.0
    )

    held_up.push(jobs(3))
    held_up.run_until_idle()

    errors = [each.error for each in held_up.quarantined]
    assert errors == ["JobTimeoutError: took longer than 5 s"] * 3


def test_without_a_journal_a_restart_loses_what_was_fetched(pipeline: Make) -> None:
    forgetful = pipeline(processors=0, journal="none")
    forgetful.push(jobs(3))
    forgetful.advance(1)

    forgetful.restart()
    forgetful.attach()
    forgetful.run_until_idle()

    assert forgetful.results == []


def test_a_root_that_dies_is_replaced(pipeline: Make) -> None:
    headless = pipeline(process_s=5.0)
    headless.push(jobs(1))
    headless.advance(3)

    headless.crash("root")
    headless.run_until_idle()

    assert len(headless.done) == 1


def test_failures_are_tried_again_and_then_set_aside(pipeline: Make) -> None:
    def broken(job: Any) -> Any:
        raise RuntimeError(f"cannot do {job['id']}")

    failing = pipeline(process=broken, retries=3)
    failing.push(jobs(1))
    failing.run_until_idle()

    assert [each.attempt for each in failing.failed] == [1, 2]
    [aside] = failing.quarantined
    assert (aside.attempt, aside.error) == (3, "RuntimeError: cannot do 1")


def test_an_exception_in_the_script_is_raised_by_fetch(pipeline: Make) -> None:
    bumpy = pipeline()

    bumpy.push([{"id": 1}, OSError("no route"), {"id": 2}])
    bumpy.run_until_idle()

    assert bumpy.results == jobs(2)
    errors = [e for e in bumpy.events if e.get("outcome") == "error"]
    assert [each["error"] for each in errors] == ["OSError: no route"]


def test_a_stop_drains_and_ends_the_system(pipeline: Make) -> None:
    ending = pipeline(process_s=5.0)
    ending.push(jobs(1))
    ending.advance(3)

    assert ending.stop()["done"] == 1

    with pytest.raises(SystemEndedError):
        ending.status()


def test_a_detached_processor_finishes_what_it_has(pipeline: Make) -> None:
    leaving = pipeline(process_s=5.0)
    leaving.push(jobs(1))
    leaving.advance(3)

    leaving.detach("processor-1")

    assert [each.processor for each in leaving.done] == ["processor-1"]
    with pytest.raises(CommandRefusedError, match="no processor 'processor-1'"):
        leaving.detach("processor-1")


def test_a_processor_that_leaves_is_at_rest_while_its_last_jobs_run(
    pipeline: Make,
) -> None:
    # By the measure of jobs that take no time several are worth a message; then each
    # takes a second, so the others wait behind it.
    leaving = pipeline(processors=1, max_demand="auto")
    agenda = leaving._world.agenda  # noqa: SLF001 - a moment's work is looked at
    leaving.push(jobs(20))
    leaving.run_until_idle()
    leaving._faults.call_s["process"] = 1.0  # noqa: SLF001
    leaving.push(jobs(20, first=21))
    processor = leaving._world.base.named("processor-1").stage  # noqa: SLF001
    while processor.consumer.held < 2 or processor.consumer.running is None:
        assert agenda.step(agenda.now + 60.0)
        assert len(leaving.done) < 40
    expected = len(leaving.done) + processor.consumer.held

    leaving._world.command(  # noqa: SLF001 - the answer comes when it has left
        {"verb": "detach", "names": ["processor-1"]}
    )
    steps = 0
    while leaving._world.base.named("processor-1"):  # noqa: SLF001
        assert agenda.step(agenda.now + 60.0)
        steps += 1
        assert steps < 200, "it wakes up all the time"

    assert len(leaving.done) == expected


def as_it_is(job: Any) -> Any:
    return job


async def a_little_later(job: Any) -> Any:
    await asyncio.sleep(0.25)
    return job


@pytest.mark.parametrize(
    ("process", "waits_s"), [(as_it_is, 0), (a_little_later, 0.25)]
)
def test_a_job_lasts_as_long_as_was_said(
    pipeline: Make, process: Callable[..., Any], waits_s: float
) -> None:
    lasting = pipeline(process=process, process_s=1.5)
    lasting.push(jobs(2))

    lasting.run_until_idle()

    told = [each for each in lasting.events if each["event"] == "job.done"]
    assert [each["duration_s"] for each in told] == [1.5 + waits_s] * 2


def test_auto_asks_for_one_once_jobs_take_long(pipeline: Make) -> None:
    auto = pipeline(max_demand="auto")
    auto.push(jobs(60))
    auto.run_until_idle()
    short = sizes(auto)
    auto._faults.call_s["process"] = 0.2  # noqa: SLF001
    auto.push(jobs(60, first=61))
    auto.run_until_idle()

    assert max(short) > 2
    assert max(sizes(auto)[-20:]) == 1


def sizes(pipeline: Any) -> list[int]:
    sent = [each.content for each in pipeline.messages]
    return [len(each.jobs) for each in sent if isinstance(each, Jobs)]


def test_what_never_ends_is_said_to(pipeline: Make) -> None:
    stuck = pipeline(processors=0)
    stuck.push(jobs(1))

    with pytest.raises(NotIdleError, match="'buffered': 1"):
        stuck.run_until_idle(within_s=60)


def test_wrong_use_is_named(pipeline: Make) -> None:
    with pytest.raises(ValueError, match="no setting 'retrys', only"):
        pipeline(retrys=3)
    with pytest.raises(ValueError, match="push takes a list of jobs"):
        pipeline().push({"id": 1})
    with pytest.raises(ValueError, match="without a fetch of its own"):
        pipeline(fetch=lambda: None).push(jobs(1))
    with pytest.raises(ValueError, match="no process 'processor-9', only: root"):
        pipeline().crash("processor-9")


def test_a_day_of_polling_leaves_no_timers_behind(pipeline: Make) -> None:
    quiet = pipeline(every_s=30.0)

    for number in range(20):
        quiet.push(jobs(3, first=3 * number))
        quiet.advance(3600)

    nodes = quiet._world.base.nodes.values()  # noqa: SLF001 - nobody else may
    assert all(len(each.timers) <= 3 for each in nodes)


@pytest.mark.parametrize("name", ["root", "source", "processor-1", "processor-2"])
def test_whatever_hangs_is_killed_and_started_anew(pipeline: Make, name: str) -> None:
    steady = pipeline(process=lambda job: job["id"], process_s=1.0, lease_s=30.0)
    steady.push(jobs(20))
    steady.advance(5)

    steady.hang(name)
    steady.advance(90)

    assert steady.status()["accounting"]["done"] == 20
    stages = steady.status()["fetchers"] + steady.status()["processors"]
    assert {each["state"] for each in stages} == {"running"}
    assert sorted(set(steady.results)) == list(range(1, 21))


def test_a_fetcher_that_does_not_answer_is_still_in_the_account(pipeline: Make) -> None:
    full = pipeline(processors=0)
    full.push(jobs(5))
    full.advance(10)
    before = full.status()["accounting"]

    full.hang("source")
    full.advance(1)

    status = full.status()
    assert status["fetchers"][0]["state"] == "silent"
    assert status["accounting"] == before
    assert full.stop() == before


@pytest.mark.parametrize("permanent", [False, True])
def test_a_job_that_may_be_lost_is_counted_whatever_the_error(
    pipeline: Make, *, permanent: bool
) -> None:
    lost = TimeoutError("no answer")
    vars(lost).update(permanent=permanent, unknown_outcome=True)
    source = pipeline()

    source.push([{"id": 1}, lost])
    source.advance(5)

    [fetcher] = source.status()["fetchers"]
    assert fetcher["unknown_outcomes"] == 1
    assert [
        each["unknown_outcome"] for each in source.events if "unknown_outcome" in each
    ] == [True]


def test_every_key_of_a_fetcher_may_be_given(pipeline: Make) -> None:
    told, polled = [], []

    def fetch(url: str, job: str) -> None:
        polled.append((url, job))

    def settle(job: Any, outcome: Any, /, **options: Any) -> None:
        told.append((job["id"], outcome["state"], options))

    scripted = pipeline(settle=settle, options={"job": "data.order"}, name="orders")
    scripted.push(jobs(1))
    scripted.run_until_idle()
    pipeline(fetch, options={"url": "http://h", "job": "order"}).run_until_idle()

    assert told == [(1, "done", {"job": "data.order"})]
    assert [each["name"] for each in scripted.status()["fetchers"]] == ["orders"]
    assert polled[0] == ("http://h", "order")


def test_a_source_that_yields_is_idle_once_it_yields_nothing(pipeline: Make) -> None:
    pages = [jobs(2), [], jobs(1, first=3)]
    paged = pipeline(fetch=lambda: iter(pages.pop(0) if pages else []))

    paged.run_until_idle(within_s=60)
    assert [each["id"] for each in paged.results] == [1, 2]
    paged.run_until_idle(within_s=60)
    assert [each["id"] for each in paged.results] == [1, 2, 3]


def test_options_that_fetch_does_not_take_are_refused_at_the_start(
    pipeline: Make,
) -> None:
    def fetch(url: str) -> None: ...

    with pytest.raises(SystemEndedError, match=r"\(urll=...\): missing .* 'url'"):
        pipeline(fetch, options={"urll": "http://h"})


def test_jobs_are_partitioned_by_a_function(pipeline: Make) -> None:
    even = pipeline(dispatcher="partition", partition_by=lambda job: job["id"] % 2)

    even.advance(seconds=5)
    even.push(jobs(20))
    even.run_until_idle()

    taken = {(each.job["id"] % 2, each.processor) for each in even.done}
    assert len(taken) == 2


BROADCAST = """\
[[fetcher]]
name = "numbers"
dispatcher = "broadcast"
[[processor]]
name = "odd"
process = "m:same"
selector = "m:is_odd"
[[processor]]
name = "all"
process = "m:same"
"""


def test_a_whole_configuration_is_a_mapping_or_a_file(
    pipeline: Make, tmp_path: Path
) -> None:
    file = tmp_path / "lowtide.toml"
    file.write_text(BROADCAST)
    functions = {"m:same": lambda job: job, "m:is_odd": lambda job: job["id"] % 2 == 1}
    content = tomllib.loads(BROADCAST)
    content["processor"][0] |= {"selector": functions["m:is_odd"]}

    for config in (content, file, str(file)):
        both = pipeline(config=config, functions=functions)
        both.push(jobs(4))
        both.run_until_idle()

        assert Counter(each["id"] for each in both.results) == {1: 2, 2: 1, 3: 2, 4: 1}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"bufer": 5}, r"there is no setting 'bufer', .*; did you mean buffer\?"),
        ({"proces_s": 5}, "there is no setting 'proces_s', .*; did you mean process_s"),
        ({"config": {}, "functions": {"fetch": len}}, "MODULE:FUNCTION, got 'fetch'"),
        ({"config": 7}, "config must be a mapping .*, or a file's path, got 7"),
        ({"config": {}, "retries": 3}, "goes with none beside it, got retries"),
        ({"config": {"fetcher": [{"nam": "a"}]}}, "unknown key 'nam' in .* mean name"),
    ],
)
def test_what_a_pipeline_cannot_be_made_of_is_told(
    pipeline: Make, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        pipeline(**options)


class UnusableError(Exception):
    """What a source served is no job."""

    def __init__(self, body: bytes) -> None:
        super().__init__("no job")
        self.body = body


def test_good_and_bad_in_turn_do_not_put_the_source_off(pipeline: Make) -> None:
    source = pipeline(every_s=2.0)

    for number in range(20):
        source.push([{"id": number}, UnusableError(b"bad %d" % number)])
    source.advance(40)

    assert (source.accounting["done"], source.accounting["quarantined"]) == (20, 20)


def test_nothing_but_bad_answers_puts_the_source_off(pipeline: Make) -> None:
    source = pipeline(every_s=2.0)

    source.push([UnusableError(b"bad %d" % number) for number in range(40)])
    source.advance(120)

    assert source.accounting["quarantined"] < 20


def test_a_source_that_holds_a_request_open_is_healthy_and_one_that_hangs_is_not(
    pipeline: Make,
) -> None:
    source = pipeline(every_s=2.0, fetch_s=40.0)
    source.advance(15)

    [early] = source.status()["fetchers"]
    words = source.status()["why"]
    source.advance(10)
    late = source.status()

    assert early["fetching_s"] == pytest.approx(15.0, abs=1.0)
    assert early["fetch_may_take_s"] == 16.0
    assert "it asked its source 15." in words
    assert problems(late) == [
        "source has been fetching for 25 s, expected 16 s at most"
    ]


class _SlowToAnswer(Calm):
    """Has what stages say of themselves arrive behind the next question."""

    def route(self, sender: Any, receiver: Any, message: Any) -> Any:
        if type(message) is StatusAnswer:
            return ((0.4, True),)
        return super().route(sender, receiver, message)


def test_a_source_that_fails_is_told_of_once_as_an_idle_system_ends(
    pipeline: Make,
) -> None:
    def down() -> None:
        raise OSError("refused")

    failing = pipeline(down, until_idle_s=1.0)
    slow = _SlowToAnswer()
    slow.call_s = failing._faults.call_s  # noqa: SLF001 - a world's faults stay its own
    failing._world.base.faults = slow  # noqa: SLF001
    failing.advance(20)

    told = [e for e in failing.events if e["event"] == "drain.unanswered"]
    assert [(e["fetcher"], "refused" in e["error"]) for e in told] == [("source", True)]
    assert failing._world.ended.unanswered == ["source"]  # noqa: SLF001

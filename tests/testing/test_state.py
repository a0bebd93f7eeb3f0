"""A fetch with a state, over the whole pipeline: kept with its jobs, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from actors.commands.control import describe
from actors.testing.harness import CommandRefusedError, Harness


class Feed:
    """An API with a list that grows, and a page of it after each position."""

    def __init__(self, count: int, page: int = 3) -> None:
        self.items = [{"id": each} for each in range(count)]
        self.page = page
        self.asked: list[Any] = []

    def returning(self, state: Any = None) -> Any:
        self.asked.append(state)
        begin = state or 0
        jobs = self.items[begin : begin + self.page]
        return jobs, begin + len(jobs)

    def yielding(self, state: Any = None) -> Iterator[Any]:
        at = state or 0
        while at < len(self.items):
            self.asked.append(at)
            jobs = self.items[at : at + self.page]
            at += len(jobs)
            yield jobs, at


def run_of(pipeline: Harness) -> Counter[int]:
    return Counter(each.job["id"] for each in pipeline.done)


@pytest.mark.parametrize("form", ["returning", "yielding"])
@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
def test_each_page_is_asked_for_with_the_state_that_the_last_one_told(
    form: str, journal: str
) -> None:
    feed = Feed(7)
    with Harness(getattr(feed, form), journal=journal) as pipeline:
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter(range(7))
        assert pipeline.state == 7
    assert feed.asked[:3] == [None if form == "returning" else 0, 3, 6]


@pytest.mark.parametrize("form", ["returning", "yielding"])
def test_a_restart_goes_on_where_the_source_was(form: str) -> None:
    feed = Feed(5)
    with Harness(getattr(feed, form)) as pipeline:
        pipeline.run_until_idle()
        feed.items += [{"id": each} for each in range(5, 8)]
        feed.asked.clear()

        pipeline.restart()
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter(range(8))
        assert feed.asked[0] == 5
        assert pipeline.state == 8


def test_without_a_journal_the_state_goes_with_the_fetcher_and_the_log_says_so() -> (
    None
):
    feed = Feed(2)
    with Harness(feed.returning, journal="none") as pipeline:
        pipeline.run_until_idle()
        assert [e for e in pipeline.events if e["event"] == "state.not_kept"]
        feed.asked.clear()

        pipeline.restart()
        pipeline.run_until_idle()

        assert feed.asked[0] is None


def test_a_fetch_without_a_state_says_nothing_of_one() -> None:
    with Harness(lambda: None, journal="none") as pipeline:
        pipeline.advance(5)

        assert not [e for e in pipeline.events if e["event"] == "state.not_kept"]
        assert pipeline.state is None


def test_a_state_moves_without_any_job() -> None:
    with Harness(lambda state=None: ([], (state or 0) + 1), every_s=10) as pipeline:
        pipeline.advance(35)

        assert pipeline.state == 4


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ([], "(jobs, state), got list"),
        ({"id": 1}, "(jobs, state), got dict"),
        (([], 1, 2), "got a tuple of 3"),
        ((None, 1), "jobs being a list, got NoneType"),
        (({"id": 1}, 1), "jobs being a list, got dict"),
        (([{"id": 1}], object()), "the state must be a JSON value"),
        (([{"id": 1}], float("nan")), "the state must be a JSON value"),
        (([{"id": 1}], "x" * 70_000), "at most 65536 bytes of JSON, got 70002"),
    ],
)
@pytest.mark.parametrize("form", ["returned", "yielded"])
def test_what_cannot_be_kept_is_an_error_of_that_poll_and_the_old_state_stands(
    told: Any, what: str, form: str
) -> None:
    answers = [([{"id": 0}], "first"), told]

    def returned(state: Any = None) -> Any:
        return answers.pop(0) if answers else ([], state)

    def yielded(state: Any = None) -> Iterator[Any]:
        while answers:
            yield answers.pop(0)

    with Harness(returned if form == "returned" else yielded) as pipeline:
        pipeline.run_until_idle()

        assert pipeline.state == "first"
        assert run_of(pipeline) == Counter([0])
        [error] = [e["error"] for e in pipeline.events if e.get("outcome") == "error"]
        assert what in error
        assert error.endswith("; the last state stands")


def test_an_unusable_job_is_quarantined_and_its_page_goes_on() -> None:
    def fetch(state: Any = None) -> Any:
        jobs = [{"id": 1}, {1, 2}, {"id": 2}] if state is None else []
        return jobs, "on"

    with Harness(fetch) as pipeline:
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter([1, 2])
        assert pipeline.state == "on"
        [bad] = pipeline.quarantined
        assert bad.job["raw"] == "{1, 2}"


def test_a_body_that_comes_with_an_error_is_set_aside_and_the_state_stands() -> None:
    class ServedError(Exception):
        body = b"{not json"

    feed = Feed(2)
    broken = [ServedError()]

    def fetch(state: Any = None) -> Any:
        if state == 2 and broken:
            raise broken.pop()
        return feed.returning(state)

    with Harness(fetch) as pipeline:
        pipeline.run_until_idle()

        assert pipeline.state == 2
        assert [each.job["raw"] for each in pipeline.quarantined] == ["{not json"]


def test_known_jobs_are_not_run_again_and_the_state_goes_on() -> None:
    def fetch(state: Any = None) -> Any:
        at = state or 0
        return ([{"id": max(0, at - 1)}, {"id": at}], at + 1) if at < 4 else ([], at)

    with Harness(fetch) as pipeline:
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter(range(4))
        assert pipeline.state == 4


def test_an_iterator_is_left_where_there_is_no_room_and_gone_on_with_later() -> None:
    feed = Feed(40, page=4)
    with Harness(feed.yielding, buffer=8, process_s=30) as pipeline:
        pipeline.advance(20)

        assert pipeline.state <= 16
        pipeline.run_until_idle()
        assert run_of(pipeline) == Counter(range(40))
        assert pipeline.state == 40


def test_a_page_is_not_asked_for_before_the_one_before_it_is_kept() -> None:
    kept: list[tuple[Any, int]] = []

    def fetch(state: Any = None) -> Iterator[Any]:
        for number in range(state or 0, 3):
            yield [{"id": number}], number + 1
            [count] = pipeline.journal.execute("SELECT count(*) FROM job").fetchone()
            kept.append((pipeline.state, count))

    with Harness(fetch) as pipeline:
        pipeline.run_until_idle()

    assert kept == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.file
def test_a_full_disk_holds_the_next_page_back() -> None:
    feed = Feed(0)
    with Harness(feed.yielding) as pipeline:
        feed.items += [{"id": each} for each in range(9)]
        pipeline.journal.execute("PRAGMA query_only = 1")
        pipeline.advance(20)
        assert feed.asked == [0]
        assert pipeline.state is None
        pipeline.journal.execute("PRAGMA query_only = 0")
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter(range(9))
        assert len(feed.asked) == 3


def test_the_same_page_again_ends_the_poll() -> None:
    asked = []

    def fetch(state: Any = None) -> Any:
        asked.append(state)
        return [{"name": "no id"}], "same"

    with Harness(fetch, every_s=10) as pipeline:
        pipeline.advance(25)

    # The first moved the state: the second says that there is nothing new.
    assert len(asked) == 4


def test_a_state_is_taken_by_value() -> None:
    def fetch(state: Any = None) -> Iterator[Any]:
        state = state or {"at": 0}
        while state["at"] < 3:
            state["at"] += 1
            yield [{"id": state["at"]}], state

    with Harness(fetch) as pipeline:
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter([1, 2, 3])
        assert pipeline.state == {"at": 3}


def command(pipeline: Harness, action: str, **fields: Any) -> dict[str, Any]:
    request = {"verb": "state", "action": action, "fetcher": "source"}
    return pipeline.command(request | fields)


@pytest.mark.parametrize("form", ["returning", "yielding"])
@pytest.mark.parametrize("journal", ["lowtide.db", "none"])
def test_a_state_that_is_set_is_where_the_source_is_asked_next(
    form: str, journal: str
) -> None:
    feed = Feed(9)
    with Harness(getattr(feed, form), journal=journal, every_s=3600) as pipeline:
        pipeline.run_until_idle()
        assert command(pipeline, "show")["state"] == 9
        feed.asked.clear()

        assert command(pipeline, "set", state=6)["state"] == 6
        pipeline.advance(1)

        assert feed.asked[0] == 6
        # What was done is known by its id.
        assert run_of(pipeline) == Counter(range(9))
        assert pipeline.state == 9


def test_a_state_that_is_set_while_a_page_is_on_its_way_beats_that_page() -> None:
    feed = Feed(9)
    with Harness(feed.yielding, fetch_s=10, every_s=5) as pipeline:
        pipeline.advance(5)
        assert command(pipeline, "set", state=100)["state"] == 100
        pipeline.advance(30)

        assert pipeline.state == 100
        # The page was handed out: its jobs are run, and no page after it is asked for.
        assert run_of(pipeline) == Counter(range(3))
        assert feed.asked == [0]


@pytest.mark.file
def test_a_state_that_cannot_be_kept_is_not_set() -> None:
    feed = Feed(3)
    with Harness(feed.returning, every_s=3600) as pipeline:
        pipeline.run_until_idle()

        pipeline.journal.execute("PRAGMA query_only = 1")
        with pytest.raises(CommandRefusedError, match="the journal cannot be written"):
            command(pipeline, "set", state=0)
        assert pipeline.state == 3
        pipeline.journal.execute("PRAGMA query_only = 0")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"action": "set"}, "expected a state"),
        ({"action": "set", "state": "x" * 70_000}, "at most 65536 bytes"),
        ({"action": "reset"}, "expected an action, show or set, got 'reset'"),
        ({"action": "show", "fetcher": "other"}, "there is no fetcher 'other', only: "),
        ({"action": "show", "fetcher": []}, "there is no fetcher"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], what: str) -> None:
    with (
        Harness(Feed(1).returning) as pipeline,
        pytest.raises(CommandRefusedError, match=what),
    ):
        command(pipeline, **fields)


def test_a_fetch_without_a_state_has_none_to_show() -> None:
    with (
        Harness(lambda: None) as pipeline,
        pytest.raises(CommandRefusedError, match="has no parameter 'state'"),
    ):
        command(pipeline, "show")


def test_status_tells_how_old_the_state_is_also_after_a_restart() -> None:
    feed = Feed(3)
    with Harness(feed.returning) as pipeline:
        pipeline.run_until_idle()
        pipeline.advance(100)
        pipeline.restart()
        pipeline.advance(10)

        [fetcher] = pipeline.status()["fetchers"]
        assert fetcher["state_age_s"] == pytest.approx(110, abs=5)
        assert fetcher["state_bytes"] == 1
        assert "state age s" in describe(pipeline.status())


def test_what_has_the_name_of_a_secret_is_not_shown() -> None:
    state = {"at": 3, "refresh_token": "hidden-1", "in": [{"password": "hidden-2"}]}
    with Harness(lambda state=None: ([], state)) as pipeline:
        command(pipeline, "set", state=state)

        assert "hidden" not in str(command(pipeline, "show"))
        assert "hidden" not in str(pipeline.events)
        assert pipeline.state == state


@pytest.mark.parametrize("dispatcher", ["broadcast", "partition"])
def test_a_page_of_jobs_with_routes_is_kept_whole(dispatcher: str) -> None:
    feed = Feed(7)
    more: Any = {"partition_by": "id"} if dispatcher == "partition" else {}
    with Harness(feed.yielding, dispatcher=dispatcher, **more) as pipeline:
        pipeline.run_until_idle()

        assert run_of(pipeline) == Counter(range(7))
        assert pipeline.state == 7


def test_what_a_buffer_drops_is_behind_the_state() -> None:
    feed = Feed(30, page=10)
    with Harness(feed.yielding, buffer=4, buffer_keep="last", process_s=60) as pipeline:
        pipeline.run_until_idle()

        account = pipeline.accounting
        assert account["fetched"] == account["done"] + account["dropped"] == 30
        assert account["dropped"] > 0
        assert pipeline.state == 30


def test_a_drain_ends_between_two_pages_and_the_next_start_goes_on() -> None:
    feed = Feed(60)
    with Harness(feed.yielding, fetch_s=2) as pipeline:
        pipeline.advance(5)
        pipeline.stop()
        at = pipeline.state
        assert 0 < at < 60
        asked = len(feed.asked)

        pipeline.restart()
        pipeline.run_until_idle()

        assert feed.asked[asked] == at
        assert run_of(pipeline) == Counter(range(60))

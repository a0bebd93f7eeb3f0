from __future__ import annotations

import base64
import enum
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.demand.job import Failure
from actors.fetcher.fetch_call import (
    AHEAD,
    KEPT_BYTES,
    MOST,
    Fetched,
    FetchStep,
    RunEnded,
    Signals,
    Unusable,
    fetch_run,
    is_raw,
    item_of,
)


class ServedError(Exception):
    """An error with whatever a source may say of it."""

    def __init__(self, **said: Any) -> None:
        super().__init__("said")
        vars(self).update(said)


def run(fetch: Callable[..., Any], room: int = 10, **options: Any) -> list[FetchStep]:
    """The steps of one run, each job of which is kept at once."""
    signals = Signals()
    steps = []
    for step in fetch_run(fetch, options, room, signals):
        steps.append(step)
        if not isinstance(step, RunEnded):
            signals.kept.release()
    return steps


def one_after_another(*answers: Any) -> Callable[[], Any]:
    left: Iterator[Any] = iter(answers)

    def fetch() -> Any:
        answer = next(left)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return fetch


def outcomes(steps: list[FetchStep]) -> list[str]:
    return [
        step.outcome if isinstance(step, RunEnded) else type(step).__name__
        for step in steps
    ]


def test_jobs_are_fetched_until_there_are_none() -> None:
    steps = run(one_after_another({"id": 1}, [2], None))

    assert steps[:2] == [Fetched({"id": 1}, 1), Fetched([2])]
    assert outcomes(steps[2:]) == ["none"]


def test_no_more_jobs_are_fetched_than_there_is_room_for() -> None:
    assert outcomes(run(one_after_another(1, 2, 3), room=2))[2:] == ["full"]


def test_a_job_that_comes_twice_running_ends_the_run_after_it_was_told() -> None:
    signals = Signals()
    fetch = one_after_another(*[{"id": 1}] * 3, {"id": 2}, None)
    runs = []
    for _ in range(3):
        steps = []
        for step in fetch_run(fetch, {}, 10, signals):
            steps.append(step)
            signals.kept.release()
        runs.append(outcomes(steps))

    assert runs == [
        ["Fetched"] * 2 + ["none"],
        ["Fetched", "none"],
        ["Fetched", "none"],
    ]


def test_jobs_without_an_id_are_new_ones_however_alike() -> None:
    assert len(run(one_after_another(7, 7, 7, None))) == 4


def test_no_call_begins_after_the_stop() -> None:
    signals = Signals()
    signals.stop = True

    assert list(fetch_run(one_after_another(), {}, 1, signals)) == [RunEnded("stopped")]


def test_options_are_the_arguments() -> None:
    def fetch(url: str, limit: int) -> Any:
        return f"{url} {limit}"

    assert run(fetch, room=1, url="x", limit=3)[0] == Fetched("x 3")


@pytest.mark.parametrize(
    ("body", "raw", "encoding"),
    [
        (b'{"id": 1', '{"id": 1', "utf-8"),
        ("grün".encode(), "grün", "utf-8"),
        (b"\xff\x00", base64.b64encode(b"\xff\x00").decode(), "base64"),
        (b"x" * (KEPT_BYTES + 1), "x" * KEPT_BYTES, "utf-8"),
        ('{"id": "grün"', '{"id": "grün"', "utf-8"),
        ("\ud800", base64.b64encode(b"\xed\xa0\x80").decode(), "base64"),
        (bytearray(b"one"), "one", "utf-8"),
        (memoryview(b"oxnxe")[::2], "one", "utf-8"),
    ],
)
def test_a_body_that_was_served_with_an_error_is_handed_on(
    body: object, raw: str, encoding: str
) -> None:
    [unusable, ended] = run(one_after_another(ServedError(body=body)))

    assert isinstance(unusable, Unusable)
    assert isinstance(ended, RunEnded)
    assert unusable.payload.pop("id").startswith("raw:")
    assert unusable.payload == {"raw": raw, "encoding": encoding}
    assert ended == RunEnded("error", unusable.failure)
    assert unusable.failure.error == "ServedError: said"


def test_the_same_body_has_the_same_id_and_another_has_another() -> None:
    ids = []
    for body in b"one", b"one", b"two":
        [step, _] = run(one_after_another(ServedError(body=body)))
        assert isinstance(step, Unusable)
        ids.append(step.payload["id"])

    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"body": b""},
        {"body": ""},
        {"body": bytearray()},
        {"body": "busy", "status": 503},
        {"body": {"id": 1}},
        {"body": None},
        {"body": b"down", "status": 500},
        {"body": b"slow down", "status": 429},
    ],
)
def test_an_error_that_served_no_job_is_an_error_alone(said: dict[str, Any]) -> None:
    assert outcomes(run(one_after_another(ServedError(**said)))) == ["error"]


def test_a_body_that_cannot_be_read_is_none() -> None:
    body = memoryview(b"one")
    body.release()

    assert outcomes(run(one_after_another(ServedError(body=body)))) == ["error"]


def test_a_body_served_with_a_good_status_may_be_a_job() -> None:
    steps = run(one_after_another(ServedError(body=b"x", status=206)))

    assert outcomes(steps) == ["Unusable", "error"]


@pytest.mark.parametrize(
    "said",
    [
        *({"status": status, "body": b"no"} for status in (401, 403, 404)),
        {"permanent": True},
    ],
)
def test_what_only_a_person_can_mend_is_a_fault(said: dict[str, Any]) -> None:
    assert outcomes(run(one_after_another(ServedError(**said)))) == ["faulted"]


def test_an_outcome_that_nobody_knows_is_told_as_such() -> None:
    steps = [
        *run(one_after_another(ServedError(unknown_outcome=True))),
        *run(one_after_another(ServedError())),
        *run(one_after_another(ServedError(unknown_outcome=True, body=b"x")))[1:],
    ]

    unknown = [step.unknown for step in steps if isinstance(step, RunEnded)]
    assert unknown == [True, False, False]


@pytest.mark.parametrize("status", [502, 504, 520, 524])
def test_a_gateway_that_got_no_answer_is_an_unknown_outcome_by_any_client(
    status: int,
) -> None:
    class Response:
        status_code = status

    for error, unknown in (
        (ServedError(response=Response()), True),
        (ServedError(status=status), True),
        (ServedError(status=status, unknown_outcome=False), False),
        (ServedError(status=500), False),
    ):
        [end] = run(one_after_another(error))
        assert isinstance(end, RunEnded)
        assert end.unknown is unknown


def test_what_the_source_asked_for_is_passed_on() -> None:
    [ended] = run(one_after_another(ServedError(retry_after_s=7)))

    assert isinstance(ended, RunEnded)
    assert ended.failure is not None
    assert ended.failure.retry_after_s == 7


class Unprintable:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ({1, 2}, "{1, 2}"),
        (float("nan"), "nan"),
        (b"bytes", "bytes"),
        (Unprintable(), "<Unprintable>"),
    ],
)
def test_a_value_that_is_no_json_is_not_lost(value: Any, raw: str) -> None:
    [unusable, _] = run(one_after_another(value))

    assert isinstance(unusable, Unusable)
    assert unusable.payload["raw"] == raw
    assert "fetch must return a JSON value, got" in unusable.failure.error


def test_a_fetch_that_exits_is_an_error_and_the_thread_goes_on() -> None:
    [ended] = run(one_after_another(SystemExit(3)))

    assert isinstance(ended, RunEnded)
    assert isinstance(ended.failure, Failure)
    assert (ended.outcome, ended.failure.error) == ("error", "SystemExit: 3")


def test_what_fetch_yields_are_jobs_and_the_source_is_asked_again() -> None:
    pages: Iterator[list[Any]] = iter([[{"id": 1}, None, {"id": 2}], [3], []])

    def fetch() -> Iterator[Any]:
        yield from next(pages)

    steps = run(fetch)

    assert steps[:3] == [Fetched({"id": 1}, 1), Fetched({"id": 2}, 2), Fetched(3)]
    assert outcomes(steps[3:]) == ["none"]


def test_an_answer_is_taken_whole_however_little_room_there_is() -> None:
    assert outcomes(run(lambda: iter(range(3)), room=1)) == ["Fetched"] * 3 + ["full"]


def test_what_was_yielded_before_an_error_is_kept() -> None:
    def fetch() -> Iterator[Any]:
        yield 1
        raise ServedError(status=503)

    steps = run(fetch)

    assert steps[0] == Fetched(1)
    assert outcomes(steps[1:]) == ["error"]


def test_one_of_a_page_that_is_no_json_costs_none_of_the_others() -> None:
    steps = run(lambda: iter([1, object(), 2]))

    # It is no error of the source: the next poll does not wait any longer for it.
    assert outcomes(steps) == ["Fetched", "Unusable", "Fetched", "none"]


def test_a_page_that_comes_twice_running_ends_the_run() -> None:
    pages = iter([[{"id": 1}, {"id": 2}], [{"id": 2}, {"id": 1}]])

    steps = run(lambda: iter(next(pages)))

    assert outcomes(steps) == ["Fetched"] * 4 + ["none"]


def test_no_more_jobs_of_an_answer_are_under_way_than_are_allowed() -> None:
    signals = Signals()
    given = []

    def fetch() -> Iterator[int]:
        for number in range(AHEAD + 1):
            given.append(number)
            yield number

    steps = fetch_run(fetch, {}, 1, signals)
    for _ in range(AHEAD):
        next(steps)
    signals.kept.release(AHEAD // 2)
    next(steps)

    assert len(given) == AHEAD + 1


def test_an_answer_without_an_end_is_ended() -> None:
    steps = run(itertools.count)

    told = Failure(f"fetch yielded more than {MOST} jobs")
    assert steps[MOST:] == [RunEnded("error", told)]


def test_a_job_is_the_same_as_after_a_restart() -> None:
    class Status(enum.IntEnum):
        NEW = 1

    job = {"status": Status.NEW, "lines": ("a", "b"), 7: None}

    [step, _] = run(lambda: job, room=1)

    assert repr(step) == repr(Fetched({"status": 1, "lines": ["a", "b"], "7": None}))


def test_an_exception_among_the_items_is_that_items_failure_with_its_body() -> None:
    page = iter([{"id": 1}, ServedError(body=b'{"nr": 2}'), ServedError(), {"id": 3}])

    steps = run(one_after_another(page))

    # What is wrong with an item is not wrong with the source.
    assert outcomes(steps) == ["Fetched", "Unusable", "Unusable", "Fetched", "none"]
    assert isinstance(steps[1], Unusable)
    assert steps[1].payload["raw"] == '{"nr": 2}'
    assert steps[1].failure.error == "ServedError: said"


class Odd(dict[str, Any]):
    def __init__(self, job_id: Any) -> None:
        super().__init__(id=1)
        self.job_id = job_id


@pytest.mark.parametrize(
    ("value", "job_id"),
    [
        ({"id": 7}, 7),
        (Odd("7@2"), "7@2"),
        (Odd(8), 8),
        (Odd(None), 1),
        (Odd(1.5), 1),
        (Odd([1]), 1),
    ],
)
def test_a_job_may_be_known_by_something_else_than_its_id(
    value: Any, job_id: Any
) -> None:
    item = item_of(value)

    assert isinstance(item, Fetched)
    assert (item.id, type(item.payload)) == (job_id, dict)


@pytest.mark.parametrize(
    ("job_id", "known"),
    [
        ("raw:0123456789abcdef", "source:raw:0123456789abcdef"),
        ("#7", "source:#7"),
        ("source:#7", "source:source:#7"),
        ("#seven", "#seven"),
        ("rawhide", "rawhide"),
        (7, 7),
    ],
)
def test_no_source_calls_a_job_as_lowtide_does(job_id: Any, known: Any) -> None:
    fetched = item_of({"id": job_id})

    assert fetched == Fetched({"id": job_id}, known)
    assert not is_raw(known)


@pytest.mark.parametrize("job_id", ["x" * 513, "x" * 200_000, 10**101, -(10**101)])
def test_an_id_that_nobody_can_type_or_keep_is_set_aside(job_id: Any) -> None:
    unusable = item_of({"id": job_id, "n": 1})

    assert isinstance(unusable, Unusable)
    assert unusable.failure.permanent
    assert unusable.failure.error.startswith("expected an id of at most 512 characters")
    assert len(unusable.failure.error) < 200
    assert unusable.payload["raw"].startswith('{"id": ')


def test_the_longest_ids_are_taken() -> None:
    assert item_of({"id": "x" * 512}) == Fetched({"id": "x" * 512}, "x" * 512)
    assert item_of({"id": 10**99}) == Fetched({"id": 10**99}, 10**99)

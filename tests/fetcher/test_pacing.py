"""What a fetch and its exceptions say of when to ask next."""

from __future__ import annotations

import email.message
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from actors.fetcher.fetch_call import (
    Fetched,
    FetchStep,
    Page,
    RunEnded,
    Signals,
    failed,
    fetch_run,
)
from actors.fetcher.page_call import page_run
from actors.fetcher.poll_worker import pacing

DATE = "Sat, 28 Nov 2026 10:00:00 GMT"
LATER = "Sat, 28 Nov 2026 10:01:30 GMT"


def refused(status: int, **headers: str) -> requests.HTTPError:
    """What ``raise_for_status`` raises."""
    response = requests.Response()
    response.status_code = status
    response.headers.update({k.replace("_", "-"): v for k, v in headers.items()})
    with pytest.raises(requests.HTTPError) as raised:
        response.raise_for_status()
    return raised.value


def ended(error: BaseException) -> RunEnded:
    end = failed(error)
    assert isinstance(end, RunEnded)
    return end


def wait_of(error: BaseException) -> tuple[str, float | None]:
    end = ended(error)
    assert end.failure is not None
    return end.outcome, end.failure.retry_after_s


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_response_that_refuses_us_as_we_are_is_faulted(status: int) -> None:
    assert ended(refused(status)).outcome == "faulted"


@pytest.mark.parametrize("status", [400, 409, 429, 500, 503])
def test_any_other_is_an_error(status: int) -> None:
    assert wait_of(refused(status)) == ("error", None)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "wait_s"),
    [("7", 7.0), ("0.5", 0.5), (LATER, 90.0), ("soon", None), ("-3", None)],
)
def test_a_busy_source_is_waited_for_as_it_says(
    status: int, value: str, wait_s: float | None
) -> None:
    assert wait_of(refused(status, Retry_After=value, Date=DATE))[1] == wait_s


def test_a_date_that_is_over_is_no_wait() -> None:
    assert wait_of(refused(429, Retry_After=DATE, Date=LATER))[1] == 0.0


def test_a_redirect_elsewhere_in_time_is_no_wait() -> None:
    assert wait_of(refused(500, Retry_After="7"))[1] is None


def test_an_error_of_urllib_is_understood_as_well() -> None:
    headers = email.message.Message()
    headers["Retry-After"] = "7"

    error = urllib.error.HTTPError("http://x", 429, "busy", headers, None)
    assert wait_of(error) == ("error", 7.0)
    error = urllib.error.HTTPError("http://x", 403, "no", headers, None)
    assert ended(error).outcome == "faulted"


def test_the_exception_itself_is_believed_first() -> None:
    error = refused(429, Retry_After="7")
    vars(error)["retry_after_s"] = 3.0

    assert wait_of(error)[1] == 3.0


def test_odd_responses_say_nothing() -> None:
    class Odd:
        status_code = True

        @property
        def headers(self) -> Any:
            raise RuntimeError("no")

    error = requests.HTTPError()
    vars(error)["response"] = Odd()
    assert wait_of(error) == ("error", None)
    assert wait_of(requests.ConnectionError()) == ("error", None)


def test_one_that_says_throttled_is_no_error() -> None:
    class ThrottledError(Exception):
        throttled = True
        retry_after_s = 30.0

    assert wait_of(ThrottledError("0 of 60 left")) == ("throttled", 30.0)


def paced(fetch: Any, room: int = 10) -> tuple[list[FetchStep], float | None]:
    signals = Signals()
    steps = []
    for step in fetch_run(pacing(fetch, signals), {}, room, signals):
        steps.append(step)
        signals.kept.release()
    return steps, signals.next_s


def test_a_fetch_says_when_to_ask_next_and_the_poll_ends_with_that_answer() -> None:
    def fetch(next_poll: Any) -> Any:
        next_poll(7)
        next_poll(60)
        return {"id": 1}

    steps, next_s = paced(fetch)

    assert steps[0] == Fetched({"id": 1}, 1)
    assert [type(each) for each in steps[1:]] == [RunEnded]
    assert next_s == 60.0


def test_a_generator_says_it_while_it_yields() -> None:
    def fetch(next_poll: Any) -> Iterator[Any]:
        yield {"id": 1}
        next_poll(60)
        yield {"id": 2}

    steps, next_s = paced(fetch)

    assert len(steps) == 3
    assert next_s == 60.0


def test_each_call_says_it_anew_and_one_that_is_over_says_nothing() -> None:
    kept: list[Any] = []

    def fetch(next_poll: Any) -> Any:
        for each in kept:
            each(99)
        kept.append(next_poll)
        return {"id": 1} if len(kept) < 2 else None

    assert paced(fetch)[1] is None


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e9])
def test_what_is_no_time_is_an_error_of_the_fetch(seconds: float) -> None:
    [end], next_s = paced(lambda next_poll: next_poll(seconds))

    assert isinstance(end, RunEnded)
    assert end.failure is not None
    assert "next_poll takes from 0 to" in end.failure.error
    assert next_s is None


@pytest.mark.parametrize("seconds", ["60", None, True])
def test_what_is_no_number_is_an_error_of_the_fetch(seconds: Any) -> None:
    [end], _ = paced(lambda next_poll: next_poll(seconds))

    assert isinstance(end, RunEnded)
    assert end.failure is not None
    assert "next_poll takes seconds" in end.failure.error


def test_a_fetch_with_a_state_paces_itself_likewise() -> None:
    def fetch(state: Any, next_poll: Any) -> Any:
        next_poll(60)
        return [{"id": 1}], 1

    signals = Signals()
    steps = []
    for step in page_run(pacing(fetch, signals), {}, "null", 10, signals):
        steps.append(step)
        signals.kept.release(2)

    assert [type(each) for each in steps] == [Page, RunEnded]
    assert signals.next_s == 60.0

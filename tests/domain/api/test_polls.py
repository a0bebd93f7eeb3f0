"""A poll by its rules alone: what is asked is scripted, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from requests.structures import CaseInsensitiveDict

from domain.api.bookmark import Bookmark
from domain.api.polls import Poll
from domain.api.session import Reply
from domain.api.source_settings import Settings, read_settings
from domain.errors import (
    BadAnswerError,
    BadJobError,
    BadJsonError,
    BadStatusError,
    ThrottledError,
)

if TYPE_CHECKING:
    from domain.api.tokens import Tokens
    from domain.http import Request

URL = "https://api.example/items"


@dataclass
class Script:
    """Answers by what is asked."""

    settings: Settings
    answers: Callable[[dict[str, str]], Any]
    tokens: Tokens | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    holds: list[float] = field(default_factory=list)

    def ask(self, request: Request) -> Reply:
        query = dict(parse_qsl(urlsplit(request.url).query))
        self.asked.append(query)
        self.requests.append(request)
        said = self.answers(query)
        if isinstance(said, Reply):
            return said
        return reply(said)

    def hold(self, seconds: float) -> None:
        self.holds.append(seconds)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    error = None
    if status >= 400:
        error = BadStatusError(f"status {status}", status=status)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, CaseInsensitiveDict(named), data, error)


def script(answers: Callable[[dict[str, str]], Any], **options: Any) -> Script:
    settings, problems = read_settings({"url": URL, **options}, {})
    assert settings is not None, problems
    return Script(settings, answers)


class Kept:
    """What a fetcher keeps: jobs and state in one go, page after page."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.state: Any = None

    def poll(self, asker: Script, pages: int | None = None) -> list[Any]:
        """Poll once; after so many pages the process dies."""
        place = Bookmark.of(self.state, asker.settings.asks)
        taken = []
        for number, (jobs, told) in enumerate(Poll(asker, place).pages(), start=1):
            if number - 1 == pages:
                break
            self.jobs += jobs
            taken += jobs
            self.state = json.loads(json.dumps(told.told()))
        return taken


def ids(jobs: list[Any]) -> list[Any]:
    return [each["id"] for each in jobs]


def numbered(query: dict[str, str]) -> Any:
    page = int(query.get("page", 1))
    items = [{"id": n} for n in range(1, 8)]
    return {"items": items[(page - 1) * 3 : page * 3]}


def test_page_after_page_until_there_is_none() -> None:
    asker = script(numbered, items="items", next={"page": "page", "size": 3})
    kept = Kept()

    assert ids(kept.poll(asker)) == [1, 2, 3, 4, 5, 6, 7]
    assert [each["page"] for each in asker.asked] == ["1", "2", "3"]
    assert kept.state == {"asks": asker.settings.asks}


def test_the_next_poll_goes_on_where_the_last_one_stopped() -> None:
    way = {"page": "page", "size": 3}
    asker = script(numbered, items="items", next=way, max_pages=2)
    kept = Kept()

    assert ids(kept.poll(asker)) == [1, 2, 3, 4, 5, 6]
    assert ids(kept.poll(asker)) == [7]
    assert [each["page"] for each in asker.asked] == ["1", "2", "3"]


@pytest.mark.parametrize("died_after", [0, 1, 2, 3])
def test_a_crash_asks_the_same_page_again_and_skips_none(died_after: int) -> None:
    asker = script(numbered, items="items", next={"page": "page", "size": 3})
    kept = Kept()

    kept.poll(asker, died_after)
    kept.poll(asker)

    assert sorted(set(ids(kept.jobs))) == [1, 2, 3, 4, 5, 6, 7]
    twice = 7 if died_after == 3 else 0
    assert len(kept.jobs) == 7 + twice


def test_other_options_begin_at_the_first_page_and_keep_the_cursor() -> None:
    way = {"page": "page", "size": 3}
    kept = Kept()
    kept.state = 2
    options = {"items": "items", "next": way, "cursor": {"max": "id"}}
    kept.poll(script(numbered, **options, max_pages=1))
    assert kept.state["position"] == {"params": {"page": 2}}

    changed = script(numbered, **options, params={"q": "x"})
    kept.poll(changed)

    assert changed.asked[0] == {"page": "1", "q": "x"}
    assert kept.state["cursor"] == 7


def since(query: dict[str, str]) -> Any:
    last = int(query.get("since", 0))
    items = [{"id": n} for n in range(last + 1, 8)][:3]
    return {"items": items, "last": items[-1]["id"] if items else last}


SINCE = {
    "items": "items",
    "params": {"since": "{cursor}", "limit": 3},
    "cursor": {"max": "id"},
}


def test_a_cursor_goes_on_after_what_was_read() -> None:
    asker = script(since, **SINCE)
    kept = Kept()

    polls = [ids(kept.poll(asker)) for _ in range(4)]

    assert polls == [[1, 2, 3], [4, 5, 6], [7], []]
    assert [each.get("since") for each in asker.asked] == [None, "3", "6", "7"]


def test_a_cursor_is_the_way_to_the_next_page() -> None:
    more = "length(items) == `3`"
    asker = script(since, **{**SINCE, "cursor": {"value": "last"}, "more": more})
    kept = Kept()

    assert ids(kept.poll(asker)) == [1, 2, 3, 4, 5, 6, 7]
    assert kept.state["cursor"] == 7


def test_a_start_may_have_a_parameter_of_its_own() -> None:
    cursor = {"value": "last", "start": 2, "start_param": "from"}
    asker = script(since, **{**SINCE, "cursor": cursor})
    kept = Kept()

    kept.poll(asker)
    kept.poll(asker)

    assert asker.asked == [{"limit": "3", "from": "2"}, {"since": "3", "limit": "3"}]


def test_the_cursor_moves_only_once_all_pages_up_to_it_are_kept() -> None:
    events = [{"id": n} for n in range(9, 0, -1)]

    def newest_first(query: dict[str, str]) -> Any:
        after = query.get("after")
        begin = ids(events).index(int(after)) + 1 if after else 0
        return {"data": events[begin : begin + 3], "more": begin + 3 < len(events)}

    options = {
        "items": "data",
        "next": {"last_id": "id", "param": "after"},
        "more": "more",
        "cursor": {"first": "id"},
    }
    asker = script(newest_first, **options)
    kept = Kept()

    kept.poll(asker, 1)
    assert "cursor" not in kept.state
    events.insert(0, {"id": 10})
    kept.poll(asker)
    assert kept.state["cursor"] == 9
    asker.asked.clear()
    kept.poll(asker)

    assert len(asker.asked) == 1
    assert sorted(set(ids(kept.jobs))) == list(range(1, 11))


def test_a_body_and_headers_have_the_cursor_too() -> None:
    body = {"after": "{cursor}", "text": "since {cursor}", "n": 1, "a": ["{cursor}"]}
    options = {**SINCE, "method": "POST", "body": body, "headers": {"X": "{cursor}"}}
    asker = script(since, **options)
    kept = Kept()

    kept.poll(asker)
    kept.poll(asker)

    bodies = [json.loads(each.body or b"") for each in asker.requests]
    assert bodies == [
        {"n": 1, "a": []},
        {"after": 3, "text": "since 3", "n": 1, "a": [3]},
    ]
    assert [each.headers.get("X") for each in asker.requests] == [None, "3"]


def test_a_filter_that_lets_nothing_pass_does_not_end_the_pages() -> None:
    def answer(query: dict[str, str]) -> Any:
        page = int(query.get("page", 1))
        status = "open" if page == 3 else "closed"
        return {"items": [{"id": page, "status": status}] if page < 4 else []}

    filtered = "items[?status=='open']"
    asker = script(answer, items=filtered, next={"page": "page"})

    assert ids(Kept().poll(asker)) == [3]


def test_what_changed_is_asked_for_with_all_that_the_source_told() -> None:
    said = [
        reply([{"id": 1}], ETag='"a"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT"),
        reply(b"", 304),
    ]
    asker = script(lambda _: said.pop(0), items="@")
    kept = Kept()

    kept.poll(asker)
    kept.poll(asker)

    assert asker.requests[0].headers == {}
    assert asker.requests[1].headers == {
        "If-None-Match": '"a"',
        "If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT",
    }


def test_an_etag_counts_only_once_all_pages_are_kept() -> None:
    def answer(query: dict[str, str]) -> Any:
        return reply(numbered(query), ETag='"a"')

    asker = script(answer, items="items", next={"page": "page", "size": 3})
    kept = Kept()

    kept.poll(asker, 2)
    assert "unchanged" not in kept.state
    kept.poll(asker)

    assert kept.state["unchanged"]["etag"] == '"a"'
    assert all(not each.headers for each in asker.requests)


def test_an_etag_goes_with_the_request_that_it_answers() -> None:
    asker = script(lambda q: reply(since(q), ETag='"a"'), **SINCE)
    kept = Kept()

    for _ in range(4):
        kept.poll(asker)

    tags = [each.headers.get("If-None-Match") for each in asker.requests]
    assert tags == [None, None, None, None]
    kept.poll(asker)
    assert asker.requests[-1].headers["If-None-Match"] == '"a"'


def test_one_bad_item_does_not_condemn_its_page() -> None:
    page = [{"id": 1}, {"id": None}, {"name": "x"}, {"id": [2]}, {"id": ""}, {"id": 3}]
    asker = script(lambda _: page, items="@", job_id="id")

    jobs = Kept().poll(asker)

    assert [each["id"] for each in jobs if isinstance(each, dict)] == [1, 3]
    bad = [each for each in jobs if isinstance(each, BadJobError)]
    assert [each.body for each in bad] == [
        b'{"id": null}',
        b'{"name": "x"}',
        b'{"id": [2]}',
        b'{"id": ""}',
    ]


def test_a_job_is_known_by_its_id_and_version() -> None:
    page = [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}, {"id": 2}, {"id": 3, "v": 4}]
    asker = script(lambda _: page, items="@", job_version="v")

    jobs = Kept().poll(asker)

    assert jobs == page
    assert [each.job_id for each in jobs] == ["1@a", "1@b", "2@null", "3@4"]


def assert_ends(asker: Script, what: str, requests: int, jobs: int) -> BadAnswerError:
    kept = Kept()
    with pytest.raises(BadAnswerError) as caught:
        kept.poll(asker)
    text = str(caught.value)
    assert what in text
    assert text.startswith(f"GET {URL}: ")
    assert "\n" not in text
    assert len(asker.asked) == requests
    assert len(kept.jobs) == jobs
    # The next poll begins anew, rather than where this one could not go on.
    assert "position" not in (kept.state or {})
    assert "cursor" not in (kept.state or {})
    return caught.value


def test_a_page_that_comes_again_ends_the_poll() -> None:
    same = {"items": [{"id": 1}, {"id": 2}]}
    asker = script(lambda _: same, items="items", next={"page": "page", "size": 2})

    assert_ends(asker, "next: expected another page, got one that came before", 2, 2)


def test_a_cycle_of_pages_ends_the_poll() -> None:
    def answer(query: dict[str, str]) -> Any:
        at = int(query.get("t", 0))
        return {"items": [{"id": at, "n": len(asker.asked)}], "next": (at + 1) % 3}

    way = {"token": "next", "param": "t"}
    asker = script(answer, items="items", next=way)

    assert_ends(asker, "next: it leads back to a page of this round", 4, 4)


def test_a_cycle_longer_than_a_poll_is_seen_by_its_pages() -> None:
    def answer(query: dict[str, str]) -> Any:
        at = int(query.get("t", 1))
        return {"items": [{"id": at}], "next": at % 3 + 1}

    way = {"token": "next", "param": "t"}
    asker = script(answer, items="items", next=way, max_pages=1)
    kept = Kept()
    for _ in range(3):
        kept.poll(asker)

    with pytest.raises(BadAnswerError, match="one that came before"):
        kept.poll(asker)
    assert "position" not in kept.state


def test_a_page_that_points_to_itself_ends_the_poll_with_its_jobs_kept() -> None:
    def answer(query: dict[str, str]) -> Any:
        return {"items": [{"id": 1}], "next": f"{URL}"}

    asker = script(answer, items="items", next={"url": "next"})

    assert_ends(asker, "next.url: the page points to itself", 1, 1)


def test_a_cursor_that_stands_still_while_there_is_more_ends_the_poll() -> None:
    said = {"items": [{"id": 1}], "last": "c", "more": True}
    asker = script(
        lambda q: {**said, "n": len(asker.asked)},
        items="items",
        params={"since": "{cursor}"},
        cursor={"value": "last"},
        more="more",
    )
    kept = Kept()

    with pytest.raises(BadAnswerError, match=r"cursor\.value: it stayed str 'c'"):
        kept.poll(asker)

    assert len(asker.asked) == 2


def test_pages_without_an_end_end_with_max_pages() -> None:
    def answer(query: dict[str, str]) -> Any:
        n = int(query.get("t", 0))
        return {"items": [{"id": n}], "next": n + 1}

    way = {"token": "next", "param": "t"}
    asker = script(answer, items="items", next=way)
    kept = Kept()

    kept.poll(asker)

    assert len(asker.asked) == 100
    assert len(json.dumps(kept.state)) < 4096


def test_a_wrong_place_of_the_jobs_says_what_is_there() -> None:
    asker = script(lambda _: {"data": {"x": 1}, "meta": {}}, items="data.items")

    with pytest.raises(BadAnswerError) as caught:
        Kept().poll(asker)

    assert "items: expected an array at 'data.items', got NoneType None" in str(
        caught.value
    )
    assert "the answer has 'data', 'meta'" in str(caught.value)
    assert caught.value.body == b""


def test_what_was_handed_out_is_kept_where_it_cannot_be_read() -> None:
    asker = script(lambda _: {"job": 1}, items="items", method="POST")

    with pytest.raises(BadAnswerError) as caught:
        Kept().poll(asker)

    assert caught.value.body == b'{"job": 1}'


@pytest.mark.parametrize("none", [["null", "empty"], ["missing"]])
def test_a_list_that_is_null_or_missing_may_mean_none(none: list[str]) -> None:
    answer = {"items": None} if "null" in none else {}
    asker = script(lambda _: answer, items="items", none=none)

    assert Kept().poll(asker) == []


@pytest.mark.parametrize(("none", "bad"), [(["null"], []), (["empty"], [b"null"])])
def test_a_null_in_a_list_is_nothing_where_a_null_means_so(
    none: list[str], bad: list[bytes]
) -> None:
    asker = script(lambda _: {"items": [{"id": 1}, None]}, items="items", none=none)

    first, *others = Kept().poll(asker)

    assert first == {"id": 1}
    assert [each.body for each in others] == bad


def test_a_page_that_is_gone_begins_the_round_again() -> None:
    gone = False

    def answer(query: dict[str, str]) -> Any:
        if gone and query.get("page") == "2":
            return reply({"error": "expired"}, 410)
        return numbered(query)

    way = {"page": "page", "size": 3}
    asker = script(answer, items="items", next=way, max_pages=1)
    kept = Kept()
    kept.poll(asker)
    gone = True

    assert ids(kept.poll(asker)) == [1, 2, 3]
    assert [each["page"] for each in asker.asked] == ["1", "2", "1"]


def test_a_page_that_was_never_there_is_an_error() -> None:
    asker = script(lambda _: reply({}, 410), items="items")

    with pytest.raises(BadStatusError):
        Kept().poll(asker)


def test_trouble_in_the_middle_goes_on_at_the_same_page() -> None:
    trouble = [True]

    def answer(query: dict[str, str]) -> Any:
        if query["page"] == "2" and trouble and trouble.pop():
            return reply(b"", 500)
        return numbered(query)

    asker = script(answer, items="items", next={"page": "page", "size": 3})
    kept = Kept()
    with pytest.raises(BadStatusError):
        kept.poll(asker)

    kept.poll(asker)

    assert ids(kept.jobs) == [1, 2, 3, 4, 5, 6, 7]
    assert [each["page"] for each in asker.asked] == ["1", "2", "2", "3"]


def test_a_rule_makes_an_answer_wait_fail_or_fault() -> None:
    said = {"ok": False, "error": "bad"}
    rule = {"when": "ok == `false`", "message": "error"}

    def poll(do: str) -> Script:
        rules = [{**rule, "do": do, **({"wait_s": 9} if do == "wait" else {})}]
        asker = script(lambda _: said, items="items", rules=rules)
        Kept().poll(asker)
        return asker

    with pytest.raises(ThrottledError) as throttled:
        poll("wait")
    assert throttled.value.retry_after_s == 9.0
    with pytest.raises(BadAnswerError, match="status 200: bad") as error:
        poll("error")
    assert not error.value.permanent
    with pytest.raises(BadAnswerError, match="status 200: bad") as fault:
        poll("fault")
    assert fault.value.permanent
    poll("none")


def test_a_rule_may_take_what_a_status_refuses() -> None:
    rules = [{"status": 404, "do": "take"}]
    asker = script(lambda _: reply([{"id": 1}], 404), items="@", rules=rules)

    assert ids(Kept().poll(asker)) == [1]


def test_a_limit_is_waited_for_and_is_no_error() -> None:
    asker = script(lambda _: reply({}, 429, Retry_After="7"), items="items")

    with pytest.raises(ThrottledError) as caught:
        Kept().poll(asker)

    assert caught.value.retry_after_s == 7.0
    assert asker.holds == [7.0]


def test_polls_are_as_far_apart_as_the_source_wants() -> None:
    asker = script(lambda _: reply([], X_Poll_Interval="60"), items="@")

    Kept().poll(asker)

    assert asker.holds == [60.0]


@pytest.mark.parametrize(
    "state", [[], True, {"x": 1}, {"position": 1}, {"cursor": []}, {"trail": 1}]
)
def test_a_state_that_was_not_told_here_is_refused(state: Any) -> None:
    with pytest.raises(BadAnswerError, match=r"^state: expected what domain\.api has"):
        Bookmark.of(state, "x")


def test_a_person_may_set_a_cursor() -> None:
    asker = script(since, **SINCE)
    kept = Kept()
    kept.state = 5

    assert ids(kept.poll(asker)) == [6, 7]


def jobs_in_turn(*said: Any) -> Script:
    left = list(said)
    return script(lambda _: left.pop(0) if left else reply(b"", 204))


def test_one_job_after_the_other_until_there_is_none() -> None:
    asker = jobs_in_turn({"id": 1}, {"id": 2})

    assert ids(Kept().poll(asker)) == [1, 2]
    assert len(asker.asked) == 3


def test_a_job_that_is_shown_again_ends_the_poll() -> None:
    asker = jobs_in_turn({"id": 1}, {"id": 1}, {"id": 2})

    assert len(asker.asked) == 0
    assert ids(Kept().poll(asker)) == [1, 1]
    assert len(asker.asked) == 2


@pytest.fixture(autouse=True)
def _no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the rules need no socket")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_a_list_that_begins_as_last_time_has_nothing_new() -> None:
    events = [{"id": 3}, {"id": 2}]
    asker = script(lambda _: events, items="@", cursor={"first": "id"})
    kept = Kept()

    assert ids(kept.poll(asker)) == [3, 2]
    assert kept.poll(asker) == []
    events.insert(0, {"id": 4})
    # What is older may have come late: it is known by its id.
    assert ids(kept.poll(asker)) == [4, 3, 2]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_list_that_is_shown_is_asked_for_again_rather_than_kept(method: str) -> None:
    asker = script(lambda _: reply(b"<html>"), items="@", method=method)

    with pytest.raises(BadJsonError) as caught:
        Kept().poll(asker)

    assert caught.value.body == (b"" if method == "GET" else b"<html>")

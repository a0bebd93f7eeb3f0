from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from domain import api
from domain.errors import (
    BadJobError,
    BadJsonError,
    BadOptionError,
    BadStatusError,
    RedirectedError,
)
from tests.domain.conftest import ScriptedServer, Serve

Answers = Callable[..., ScriptedServer]


def whole(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(autouse=True)
def _no_etags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_etags", {})


@pytest.fixture
def answers(serve: Serve) -> Answers:
    """Start a server that gives these answers in turn, the last one for ever."""

    def start(*said: bytes) -> ScriptedServer:
        left = list(said)
        return serve(
            lambda connection, _: (
                connection.sendall(left.pop(0) if len(left) > 1 else left[0]) or True
            )
        )

    return start


@pytest.mark.parametrize(
    ("value", "path", "job"),
    [
        ({"id": 1}, "", {"id": 1}),
        ([1, 2], "", [1, 2]),
        ({"data": {"job": {"id": 1}}}, "data.job", {"id": 1}),
        ({"jobs": [{"id": 1}, {"id": 2}]}, "jobs.0", {"id": 1}),
        ([[7]], "0.0", 7),
        ({"job": 0}, "job", 0),
        ({"job": False}, "job", False),
    ],
)
def test_the_job_is_where_the_path_says(
    answers: Answers, value: Any, path: str, job: Any
) -> None:
    server = answers(whole(json.dumps(value).encode()))

    assert api.fetch(server.url, job=path) == job


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"null", ""),
        (b'{"job": null}', "job"),
        (b'{"jobs": []}', "jobs"),
        (b'{"jobs": []}', "jobs.0"),
        (b'{"job": {}}', "job"),
        (b'{"job": ""}', "job"),
        (b"", ""),
        (b" \n", "job"),
    ],
)
def test_null_and_empty_mean_none(answers: Answers, body: bytes, path: str) -> None:
    server = answers(whole(body))

    assert api.fetch(server.url, job=path) is None


@pytest.mark.parametrize(
    ("body", "path", "none"),
    [
        (b"{}", "job", ["null", "empty"]),
        (b'{"job": null}', "job", ["empty"]),
        (b'{"job": [1]}', "job.1", ["null", "empty"]),
        (b'{"job": [1]}', "job.x", []),
        (b'{"job": 7}', "job.x", []),
    ],
)
def test_what_does_not_mean_none_is_an_error_that_keeps_the_body(
    answers: Answers, body: bytes, path: str, none: list[str]
) -> None:
    server = answers(whole(body))

    with pytest.raises(BadJobError, match="expected a job at") as caught:
        api.fetch(server.url, job=path, none=none)

    assert caught.value.body == body


def test_a_missing_place_means_none_where_it_is_said_to(answers: Answers) -> None:
    server = answers(whole(b"{}"))

    assert api.fetch(server.url, job="job", none=["missing"]) is None


def test_empty_is_a_job_where_it_does_not_mean_none(answers: Answers) -> None:
    server = answers(whole(b'{"job": []}'))

    assert api.fetch(server.url, job="job", none=["null"]) == []


def test_what_is_no_json_is_an_error_that_keeps_the_body(answers: Answers) -> None:
    server = answers(whole(b"<html>"))

    with pytest.raises(BadJsonError) as caught:
        api.fetch(server.url)

    assert caught.value.body == b"<html>"


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found"])
def test_a_status_may_mean_none(answers: Answers, status: str) -> None:
    server = answers(whole(b"", status))

    assert api.fetch(server.url, none_status=[204, 404]) is None


def test_any_other_status_is_an_error(answers: Answers) -> None:
    server = answers(whole(b"no", "404 Not Found"))

    with pytest.raises(BadStatusError):
        api.fetch(server.url)


def test_the_request_is_as_described(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret\n")
    server = answers(whole(b"1"))

    api.fetch(
        f"{server.url}/next?max=1",
        method="POST",
        headers={"Authorization": "Bearer env:API_TOKEN", "Accept": "text/json"},
        body={"max": 1},
    )

    [request] = server.requests
    lines = request.decode().split("\r\n")
    assert lines[0] == "POST /next?max=1 HTTP/1.1"
    assert {
        "Authorization: Bearer s3cret",
        "Accept: text/json",
        "Content-Type: application/json",
        "Content-Length: 10",
    } < set(lines)


def test_a_variable_that_is_not_set_is_named_and_nothing_is_sent(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_TOKEN", raising=False)
    server = answers(whole(b"1"))

    with pytest.raises(BadOptionError, match="Authorization wants API_TOKEN"):
        api.fetch(server.url, headers={"Authorization": "Bearer env:API_TOKEN"})

    assert server.requests == []


def test_a_secret_that_no_header_may_have_is_not_shown(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret\r\nX: y")

    with pytest.raises(BadOptionError) as caught:
        api.fetch(answers(b"").url, headers={"X-Key": "env:API_TOKEN"})

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_word_for_none_is_refused(answers: Answers) -> None:
    with pytest.raises(BadOptionError, match=r"expected null, empty, missing, got"):
        api.fetch(answers(b"").url, none=["nothing"])


@pytest.mark.parametrize(
    ("body", "path", "job"),
    [
        (b'{"uuid": "a", "n": 1}', "uuid", {"uuid": "a", "n": 1, "id": "a"}),
        (b'{"meta": {"no": 7}}', "meta.no", {"meta": {"no": 7}, "id": 7}),
        (b'["a", 5]', "0", {"id": "a", "job": ["a", 5]}),
    ],
)
def test_the_identity_is_where_the_path_says(
    answers: Answers, body: bytes, path: str, job: Any
) -> None:
    server = answers(whole(body))

    assert api.fetch(server.url, job_id=path) == job


@pytest.mark.parametrize("body", [b"{}", b'{"no": null}', b'{"no": true}', b"7"])
def test_a_job_without_its_identity_is_an_error_that_keeps_the_body(
    answers: Answers, body: bytes
) -> None:
    server = answers(whole(body))

    with pytest.raises(BadJobError, match="expected an id at no") as caught:
        api.fetch(server.url, job_id="no", none=["null"])

    assert caught.value.body == body


def test_only_what_has_changed_is_asked_for(answers: Answers) -> None:
    server = answers(
        whole(b'{"id": 1}', "200 OK", 'ETag: "a"'),
        whole(b"", "304 Not Modified"),
        whole(b'{"id": 2}', "200 OK", 'ETag: "b"'),
        whole(b"", "304 Not Modified"),
    )

    jobs = [api.fetch(server.url) for _ in range(4)]

    tags = [request.partition(b"If-None-Match: ")[2][:3] for request in server.requests]
    assert jobs == [{"id": 1}, None, {"id": 2}, None]
    assert tags == [b"", b'"a"', b'"a"', b'"b"']


def test_an_answer_that_could_not_be_used_is_asked_for_again(answers: Answers) -> None:
    server = answers(whole(b"{", "200 OK", 'ETag: "a"'), whole(b'{"id": 1}'))

    with pytest.raises(BadJsonError):
        api.fetch(server.url)

    assert api.fetch(server.url) == {"id": 1}
    assert b"If-None-Match" not in server.requests[1]


def test_changes_are_not_asked_for_where_that_is_not_wanted(answers: Answers) -> None:
    server = answers(whole(b'{"id": 1}', "200 OK", 'ETag: "a"'))

    for _ in range(2):
        api.fetch(server.url, etag=False)

    assert b"If-None-Match" not in server.requests[1]


def test_not_modified_is_an_error_where_nobody_asked(answers: Answers) -> None:
    server = answers(whole(b"", "304 Not Modified"))

    with pytest.raises(RedirectedError, match=r"304 \(not modified\), though"):
        api.fetch(server.url)


def test_an_outcome_is_posted_where_the_job_says(answers: Answers) -> None:
    server = answers(whole(b""))

    api.settle(
        {"id": "a b/c"},
        {"state": "done", "result": 4.0},
        url="http://elsewhere",
        ack_url=f"{server.url}/jobs/{{id}}/ack",
    )

    [request] = server.requests
    assert request.startswith(b"POST /jobs/a%20b%2Fc/ack HTTP/1.1\r\n")


def test_the_options_of_one_source_fit_both_of_its_functions(answers: Answers) -> None:
    server = answers(whole(b'{"data": {"order": {"number": 7}}}'), whole(b""))
    options: dict[str, Any] = {
        "url": server.url,
        "job": "data.order",
        "job_id": "number",
        "none_status": [204, 404],
        "ack_url": f"{server.url}/orders/{{id}}",
    }

    job = api.fetch(**options)
    api.settle(job, {"state": "done", "result": None}, **options)

    assert job == {"number": 7, "id": 7}
    assert server.requests[-1].startswith(b"POST /orders/7 HTTP/1.1\r\n")


def test_without_a_place_to_post_to_nothing_is_posted(answers: Answers) -> None:
    server = answers(whole(b""))

    api.settle({"id": 1}, {"state": "done"}, url=server.url)

    assert server.requests == []


def test_a_job_without_an_id_cannot_be_acknowledged(answers: Answers) -> None:
    with pytest.raises(BadOptionError, match="expected jobs with an id"):
        api.settle([1], {"state": "done"}, ack_url=answers(b"").url)

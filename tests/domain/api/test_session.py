"""What is sent, to whom, and how often: over real sockets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import requests.auth

from domain import api
from domain.api import session as sessions
from domain.errors import (
    BadAnswerError,
    BadOptionError,
    BadStatusError,
    RedirectedError,
    ThrottledError,
    TooLargeError,
    UnreachableError,
)
from tests.apis.base import Api, Asked, Said, served
from tests.domain.conftest import ScriptedServer, Serve

CANARY = "s3cret-canary"


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(api, "_sessions", {})
    monkeypatch.setattr(api, "_etags", {})
    monkeypatch.setattr(sessions, "HURRIED", threading.Event())
    monkeypatch.setattr(api, "HURRIED", sessions.HURRIED)


def said(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + data


Answers = Callable[..., ScriptedServer]


@pytest.fixture
def answers(serve: Serve) -> Answers:
    def start(*script: bytes, **options: Any) -> ScriptedServer:
        left = list(script)

        def answer(connection: socket.socket, _: threading.Event) -> bool:
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])
            # The server cannot end a connection over TLS that is kept.
            return not options

        return serve(answer, **options)

    return start


def take(url: str, **options: Any) -> list[Any]:
    pages = api.fetch(url, state=None, items="@", **options)
    return [job for jobs, _ in pages for job in jobs]


class Keyed(requests.auth.AuthBase):
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __call__(self, request: Any) -> Any:
        request.headers["X-Signed"] = f"{request.method} {CANARY}"
        return request


def nothing() -> None:
    return None


def signed_digest() -> requests.auth.AuthBase:
    return requests.auth.HTTPDigestAuth("me", CANARY)


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        ({"type": "bearer", "token": CANARY}, f"Authorization: Bearer {CANARY}"),
        (
            {"type": "basic", "user": "jürgen", "password": "p:w"},
            "Authorization: Basic asO8cmdlbjpwOnc=",
        ),
        ({"type": "header", "name": "X-Key", "value": CANARY}, f"X-Key: {CANARY}"),
        (
            {"type": "query", "name": "key", "value": "a&b"},
            "GET /?a=1&key=a%26b HTTP/1.1",
        ),
        (f"{__name__}:Keyed", f"X-Signed: GET {CANARY}"),
    ],
)
def test_what_proves_who_asks(answers: Answers, auth: Any, line: str) -> None:
    server = answers(said([{"id": 1}]))

    assert take(f"{server.url}/?a=1", auth=auth) == [{"id": 1}]
    assert line in server.requests[0].decode().split("\r\n")


def test_an_auth_of_ones_own_is_made_once_and_may_answer_a_challenge(
    answers: Answers,
) -> None:
    challenge = 'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth"'
    server = answers(said(b"", "401 No", challenge), said([{"id": 1}]))

    assert take(server.url, auth=f"{__name__}:signed_digest") == [{"id": 1}]
    assert b"Authorization: Digest username=" in server.requests[1]
    made = Keyed.made
    for _ in range(3):
        take(server.url, auth=f"{__name__}:Keyed")
    assert Keyed.made == made + 1


def test_an_auth_that_is_none_is_told(answers: Answers) -> None:
    server = answers(said([]))

    with pytest.raises(BadOptionError, match="must return a requests AuthBase, got"):
        take(server.url, auth=f"{__name__}:nothing")
    assert server.requests == []


def test_cookies_are_neither_kept_nor_sent(answers: Answers) -> None:
    server = answers(said([{"id": 1}], "200 OK", "Set-Cookie: a=b; Path=/"))

    take(server.url)
    take(server.url)

    assert not any(b"Cookie" in each for each in server.requests)


def moved(to: str, status: int = 302) -> bytes:
    return said(b"", f"{status} Moved", f"Location: {to}")


BEARER = {"type": "bearer", "token": CANARY}


def test_a_redirect_is_followed_where_it_may_be(answers: Answers) -> None:
    server = answers(moved("/a"), moved("b?c=1", 307), said([{"id": 1}]))

    assert take(server.url, redirects=2, auth=BEARER) == [{"id": 1}]
    paths = [each.split()[1] for each in server.requests]
    assert paths == [b"/", b"/a", b"/b?c=1"]
    assert all(CANARY.encode() in each for each in server.requests)


def test_no_more_redirects_are_followed_than_may_be(answers: Answers) -> None:
    server = answers(moved("/a"))

    with pytest.raises(RedirectedError, match="expected at most 3, got one more"):
        take(server.url, redirects=3)
    assert len(server.requests) == 4
    with pytest.raises(RedirectedError):
        take(f"{server.url}/other")
    assert len(server.requests) == 5


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_no_credentials_leave_the_origin_by_a_redirect(
    answers: Answers, host: str
) -> None:
    other = answers(said([{"id": 1}]))
    elsewhere = other.url.replace("localhost", host)
    server = answers(moved(f"{elsewhere}/x?y={CANARY}"))

    with pytest.raises(RedirectedError, match=r"^redirects: expected one to the same"):
        take(server.url, redirects=2, auth=BEARER)
    assert other.requests == []


def test_no_credentials_leave_the_origin_by_a_next_page(answers: Answers) -> None:
    other = answers(said([{"id": 1}]))
    link = f'Link: <{other.url}/2>; rel="next"'
    server = answers(said([{"id": 1}], "200 OK", link))

    with pytest.raises(BadAnswerError, match="another origin is not asked"):
        take(server.url, next="link", auth=BEARER)
    assert other.requests == []


def test_a_request_with_a_body_is_redirected_only_where_that_keeps_it(
    answers: Answers,
) -> None:
    server = answers(moved("/a", 308), said([{"id": 1}]))
    jobs = take(server.url, method="POST", body={"a": 1}, redirects=1)
    assert jobs == [{"id": 1}]
    assert b"POST /a HTTP/1.1" in server.requests[1]

    server = answers(moved("/a", 302), said([{"id": 1}]))
    with pytest.raises(RedirectedError):
        take(server.url, method="POST", body={"a": 1}, redirects=1)
    assert len(server.requests) == 1


def test_the_limits_are_those_of_the_options(answers: Answers) -> None:
    server = answers(said([{"id": 1, "x": "y" * 5000}]))

    with pytest.raises(TooLargeError, match="at most 1000 bytes"):
        take(server.url, max_bytes=1000)
    assert len(take(server.url, max_bytes=10_000)) == 1


def test_a_limit_that_was_reached_is_not_asked_beyond(answers: Answers) -> None:
    server = answers(said(b"", "429 No", "Retry-After: 60"), said([{"id": 1}]))

    for _ in range(2):
        with pytest.raises(ThrottledError) as caught:
            take(server.url)
        assert 55 < (caught.value.retry_after_s or 0) <= 60
    assert len(server.requests) == 1
    # Another process does not ask either, as after a crash of this one.
    vars(api)["_sessions"].clear()
    with pytest.raises(ThrottledError):
        take(server.url)
    # Somebody else may.
    assert take(server.url, auth=BEARER) == [{"id": 1}]


def test_a_budget_that_an_answer_says_is_used_up_is_kept_to(answers: Answers) -> None:
    left = ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 60"]
    server = answers(said([{"id": 1}], "200 OK", *left), said([{"id": 2}]))

    assert take(server.url) == [{"id": 1}]
    with pytest.raises(ThrottledError, match="the source asks for it"):
        take(server.url)
    assert len(server.requests) == 1


def test_a_short_wait_is_waited_for(answers: Answers) -> None:
    server = answers(said(b"", "429 No", "Retry-After: 1"), said([{"id": 1}]))

    with pytest.raises(ThrottledError):
        take(server.url)
    assert take(server.url) == [{"id": 1}]


def test_a_wait_ends_when_the_process_is_to_end(answers: Answers) -> None:
    server = answers(said(b"", "429 No", "Retry-After: 2"), said([{"id": 1}]))
    with pytest.raises(ThrottledError):
        take(server.url)

    api.hurry()

    with pytest.raises(ThrottledError):
        take(server.url)
    assert len(server.requests) == 1


def test_a_budget_of_ours(answers: Answers) -> None:
    server = answers(said([{"id": 1}]))
    for _ in range(3):
        take(server.url, requests_per="3/h")

    with pytest.raises(ThrottledError, match="requests_per allows 3 requests in 3600"):
        take(server.url, requests_per="3/h")
    # Another fetcher of the same host, and acknowledgements, count too.
    with pytest.raises(ThrottledError):
        take(f"{server.url}/other", requests_per="3/h")
    with pytest.raises(ThrottledError):
        api.settle(
            {"id": 1},
            {"state": "done"},
            url=server.url,
            ack_url=f"{server.url}/{{id}}",
            requests_per="3/h",
        )
    assert len(server.requests) == 3


def test_a_proxy_is_asked_in_place_of_the_server(answers: Answers) -> None:
    proxy = answers(said([{"id": 1}]))
    address = proxy.url.replace("//", f"//me:{CANARY}@")

    assert take("http://api.example/items", proxy=address) == [{"id": 1}]
    lines = proxy.requests[0].decode().split("\r\n")
    assert lines[0] == "GET http://api.example/items HTTP/1.1"
    assert any(each.startswith("Proxy-Authorization: Basic ") for each in lines)


def test_a_proxy_that_refuses_is_told_and_nothing_is_lost(answers: Answers) -> None:
    proxy = answers(said(b"", "407 No"))
    address = proxy.url.replace("//", f"//me:{CANARY}@")

    with pytest.raises(UnreachableError) as caught:
        take("https://api.example/items", proxy=address)

    assert not caught.value.unknown_outcome
    assert CANARY not in str(caught.value)
    assert proxy.requests[0].startswith(b"CONNECT api.example:443 ")


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


class Tunnel:
    """A proxy that makes one tunnel to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            client.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            each.close()


def test_a_server_of_an_own_authority_through_a_tunnel(
    answers: Answers,
    certificate: tuple[Path, Path],
    tls: ssl.SSLContext,
) -> None:
    server = answers(said([{"id": 1}]), context=tls)
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(UnreachableError):
        take(server.url)
    assert take(server.url, ca_file=str(certificate[0])) == [{"id": 1}]
    with closing(Tunnel(port)) as tunnel:
        options = {"ca_file": str(certificate[0]), "proxy": tunnel.url}
        assert take(f"{server.url}/2", **options) == [{"id": 1}]


def test_who_we_are_is_told_by_a_certificate(
    answers: Answers, certificate: tuple[Path, Path]
) -> None:
    cert, key = map(str, certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(cert)
    context.verify_mode = ssl.CERT_REQUIRED
    server = answers(said([{"id": 1}]), context=context)

    jobs = take(server.url, ca_file=cert, cert_file=cert, key_file=key)

    assert jobs == [{"id": 1}]


@pytest.mark.parametrize(
    "options",
    [
        {"auth": BEARER},
        {"auth": {"type": "query", "name": "q", "value": CANARY}},
        {"auth": {"type": "basic", "user": "me", "password": CANARY}},
        {"headers": {"X": CANARY}},
        {"params": {"q": CANARY}},
        {"body": {"q": CANARY}},
    ],
)
@pytest.mark.parametrize(
    "script",
    [
        said(b"", "401 No"),
        said(b"", "500 No"),
        said(b"<html>"),
        said({"items": 1}),
        said(b"", "302 No", "Location: //elsewhere.example/"),
        b"nonsense\r\n\r\n",
    ],
)
def test_no_error_shows_a_secret(
    answers: Answers, options: dict[str, Any], script: bytes
) -> None:
    server = answers(script)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - of any kind
        take(server.url, **options)

    chain: BaseException | None = caught.value
    while chain is not None:
        assert CANARY not in str(chain)
        chain = chain.__cause__
    for name in ("session", "settings"):
        assert CANARY not in repr(
            getattr(next(iter(vars(api)["_sessions"].values())), name, "")
        )


ACK = {
    "method": "PATCH",
    "body": {"status": "closed", "by": "{state} of {id}", "result": "{result}"},
}


def ack(
    server: ScriptedServer | Api, job: Any, outcome: Any = None, **options: Any
) -> None:
    path = options.pop("path", "/tickets/{id}")
    api.settle(
        job,
        outcome or {"state": "done", "result": [4]},
        url=server.url,
        ack={**ACK, "url": f"{server.url}{path}", **options.pop("ack", {})},
        **options,
    )


class Confirming(Api):
    def answer(self, asked: Asked) -> Said:
        return Said(None, 204)


def test_a_jobs_end_is_told_in_the_words_of_the_options() -> None:
    with served(Confirming()) as server:
        ack(server, {"id": "a/b"}, headers={"X-Key": "k"})

    [asked] = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/tickets/a%2Fb")
    assert asked.headers["x-key"] == "k"
    told = {"status": "closed", "by": "done of a/b", "result": [4]}
    assert json.loads(asked.body) == told


def test_only_the_ends_that_are_asked_for_are_told(answers: Answers) -> None:
    server = answers(said(b"", "204 OK"))
    own = {"body": {"status": "closed"}}

    ack(server, {"id": 1}, {"state": "dropped"}, ack=own)
    assert server.requests == []
    ack(server, {"id": 1}, {"state": "dropped"}, ack={**own, "states": ["dropped"]})
    ack(server, {"id": 1}, {"state": "dropped", "error": "x"})
    assert len(server.requests) == 2


@pytest.mark.parametrize("job_id", ["..", "."])
def test_an_id_does_not_lead_to_another_place(answers: Answers, job_id: str) -> None:
    server = answers(said(b""))

    with pytest.raises(BadOptionError, match="would lead to another place"):
        ack(server, {"id": job_id})
    assert server.requests == []
    ack(server, {"id": job_id}, path="/tickets/x-{id}")


def test_a_version_is_no_part_of_the_id_that_is_told(answers: Answers) -> None:
    server = answers(said([{"no": 7, "v": "b"}]), said(b"", "204 OK"))
    options = {"job_id": "no", "job_version": "v"}
    [job] = take(server.url, **options)

    ack(server, dict(job), items="@", **options)

    assert job.job_id == "7@b"
    assert server.requests[1].startswith(b"PATCH /tickets/7 ")


def test_an_end_that_is_not_confirmed_is_an_error(answers: Answers) -> None:
    server = answers(said(b"", "500 No"))

    with pytest.raises(BadStatusError):
        ack(server, {"id": 1})


def test_what_has_no_id_cannot_be_acknowledged(answers: Answers) -> None:
    with pytest.raises(BadOptionError, match="expected jobs with an id"):
        ack(answers(said(b"")), {"name": 1})


def test_without_a_state_a_list_is_an_iterator_of_jobs(answers: Answers) -> None:
    server = answers(said([{"id": 1}, {"id": 2}]))

    assert list(api.fetch(server.url, items="@")) == [{"id": 1}, {"id": 2}]


def test_a_hundred_thousand_elements_are_read_in_bounded_time(answers: Answers) -> None:
    items = [{"n": number} for number in range(100_000)]
    server = answers(said(items))

    began = time.process_time()
    jobs = take(server.url, job_id="n", max_bytes=10_000_000)

    assert len(jobs) == 100_000
    assert time.process_time() - began < 10
    with pytest.raises(TooLargeError):
        take(f"{server.url}/2", job_id="n")

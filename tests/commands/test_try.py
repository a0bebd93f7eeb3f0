"""``try``: what would become jobs, and that nothing is kept or acknowledged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.demand.job_events import StateMoved
from actors.host import redaction
from actors.journal.file import JournalFile
from actors.journal.sqlite import SqliteJournal
from actors.main import main
from domain import api
from tests.apis import kinds
from tests.apis.base import Asked, Said, served
from tests.apis.recipes import VARIABLES, text_of

Try = Callable[..., tuple[int, str]]

OWN = """
def fetch(url="x", state=None, next_poll=None):
    if url == "bad":
        raise ValueError("no " + url)
    next_poll(7)
    yield [{"id": 1}, {"id": object()}], (state or 0) + 1
    raise AssertionError("one page is asked for")

def jobs():
    yield from range(15)

def one():
    return {"id": "\\x1b[2K"}
"""


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(api, "_sessions", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_tried.py").write_text(OWN)
    yield
    redaction.install([])


@pytest.fixture
def tried(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Try:
    def run(text: str, *words: str) -> tuple[int, str]:
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        code = main(["try", "--config", str(path), *words])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def own(function: str, options: str = "") -> str:
    table = f'[[fetcher]]\nname = "own"\nfetch = "own_tried:{function}"\n'
    return table + (f"options = {options}\n" if options else "")


def test_a_recipe_is_tried(tried: Try, tmp_path: Path) -> None:
    with served(kinds.GitHub()) as server:
        server.budget = 60
        server.add(150)

        code, told = tried(text_of("github", server))

    lines = told.splitlines()
    assert code == 0
    assert lines[0] == f"GET {server.url}/orgs/python/events: 200"
    assert lines[1] == "100 would become jobs:"
    assert json.loads(lines[2])["id"] == server.events[0]["id"]
    assert lines[12] == "  ... and 90 more"
    assert any(each.startswith("the next page: ") for each in lines)
    assert any(each.startswith("the next state: ") for each in lines)
    assert "requests left: 59" in lines
    assert len(server.asked) == 1
    assert not (tmp_path / "lowtide.db").exists()


def test_a_queue_is_tried_and_none_of_it_is_closed(tried: Try) -> None:
    with served(kinds.Tickets()) as server:
        server.add(2)

        code, told = tried(text_of("tickets", server), "--json")

    assert code == 0
    assert json.loads(told)["jobs"] == list(server.tickets.values())
    assert {each["status"] for each in server.tickets.values()} == {"open"}


def test_a_page_that_cannot_be_gone_on_from_is_shown_with_the_reason(
    tried: Try,
) -> None:
    with served(kinds.Tickets()) as server:
        server.add(4)
        way = ('next = { url = "next" }', 'next = { page = "page" }\nmore = "next"')

        code, told = tried(text_of("tickets", server, way))

    lines = told.splitlines()
    assert code == 1
    assert lines[1].startswith("the answer begins: ")
    assert lines[2] == "3 would become jobs:"
    assert lines[-1].startswith("error: BadAnswerError: ")
    assert "more: expected true or false at 'next', got str" in lines[-1]
    assert len(server.asked) == 1


def test_what_goes_wrong_is_shown(tried: Try) -> None:
    with served(kinds.Stripe()) as server:
        text = text_of("stripe", server, ("{env:STRIPE_KEY}", "sk_other_canary"))
        code, told = tried(text)

    assert code == 1
    assert f"GET {server.url}/v1/events: 401" in told
    assert "error: BadStatusError" in told
    assert "the answer begins: " in told
    assert "Invalid API Key" in told
    assert "canary" not in told


class Telltale(kinds.Stripe):
    """Says what it was asked with, in the text and under a name of its own."""

    filler = ""

    def answer(self, asked: Asked) -> Said:
        key = asked.headers["authorization"]
        if self.filler:
            return Said(f"{self.filler}{key}".encode(), 500)
        return Said({"error": f"bad key {key}", "token": "t-canary"}, 403)


# The last of them is cut in the middle of the secret.
@pytest.mark.parametrize("filler", ["", "<p>\n\x1b[2K", "x " * 190])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_the_answer_that_is_refused_is_shown_without_secrets(
    tried: Try, filler: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_KEY", "sk_test_canary")
    with served(Telltale()) as server:
        server.filler = filler
        code, told = tried(text_of("stripe", server), *words)

    assert code == 1
    assert "***" in told
    assert "canary" not in told
    assert "sk_test" not in told
    assert "\x1b" not in told


def test_a_refresh_token_is_not_spent(tried: Try) -> None:
    with served(kinds.OAuth()) as server:
        text = text_of("oauth2", server) + 'refresh_token = "refresh-canary-0"\n'
        code, told = tried(text)

    assert code == 1
    assert "may use up the refresh token" in told
    assert server.asked == []


def test_a_fetch_of_ones_own_is_tried(tried: Try) -> None:
    code, told = tried(own("fetch"), "--state", "41", "--json")

    shown = json.loads(told)
    assert code == 0
    assert (shown["jobs"], shown["state"], shown["next_poll_s"]) == ([{"id": 1}], 42, 7)
    assert "fetch must return a JSON value" in shown["unusable"][0]


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("jobs", "", ["15 would become jobs:", "... and 5 more"]),
        ("one", "", ["1 would become jobs:", "\\u001b[2K"]),
        ("fetch", '{ url = "bad" }', ["error: ValueError: no bad"]),
    ],
)
def test_what_is_shown(
    tried: Try, function: str, options: str, words: list[str]
) -> None:
    told = tried(own(function, options))[1]

    assert all(each in told for each in words)
    assert "\x1b" not in told


def test_a_fetcher_is_named_where_there_are_several(tried: Try) -> None:
    two = own("jobs") + own("one").replace('"own"', '"other"')

    assert "try: say which fetcher: own, other" in tried(two)[1]
    assert "there is no fetcher 'x', only own, other" in tried(two, "x")[1]
    assert "15 would become jobs" in tried(two, "own")[1]


def test_the_state_is_the_one_that_the_journal_has(tried: Try, tmp_path: Path) -> None:
    with served(kinds.OAuth()) as server:
        server.add(5)
        text = text_of("oauth2", server)
        JournalFile(tmp_path / "lowtide.db").prepare()
        journal = SqliteJournal(tmp_path / "lowtide.db", "readings")
        journal.commit([StateMoved("3")])
        journal.close()

        shown = json.loads(tried(text, "--json")[1])
        assert shown["jobs"] == [{"id": 4}, {"id": 5}]
        other = json.loads(tried(text, "--json", "--state", "4")[1])
        assert other["jobs"] == [{"id": 5}]


def test_a_configuration_with_an_error_is_refused(tried: Try) -> None:
    code, told = tried(own("jobs").replace("own_tried", "nowhere"))

    assert code == 2
    assert "recipe.toml:3: fetch: cannot import module 'nowhere'" in told


def test_a_state_that_is_no_json_is_refused(tried: Try) -> None:
    assert "--state: expected JSON" in tried(own("fetch"), "--state", "{")[1]

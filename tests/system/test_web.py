"""The web page in a real browser, and what it serves to machines."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.host.ports import free_port
from actors.testing.processes import wait_until
from tests.support.browser import Browser, find_chromium
from tests.support.processes import parent

pytestmark = pytest.mark.system

Start = Callable[..., Any]

METRICS = Path(__file__).parents[2] / "docs" / "metrics.md"
TOKEN = "open-sesame-and-more"  # noqa: S105 - the test's own
with_browser = pytest.mark.skipif(
    find_chromium() is None, reason="Chromium is not installed (apt: chromium)"
)


class Web:
    """A running system's page, as a program asks for it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def ask(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        return self.ask("GET", path, **headers)

    def act(self, command: Any, **headers: str) -> tuple[int, Any]:
        headers = {"Content_Type": "application/json"} | headers
        status, body = self.ask("POST", "/act", json.dumps(command), **headers)
        return status, json.loads(body)


@pytest.fixture
def web_port(env: dict[str, str]) -> int:
    port = free_port()
    env |= {"LOWTIDE_WEB": str(port), "LOWTIDE_WEB_TOKEN": TOKEN}
    return port


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "browser").mkdir()
    browser = Browser(tmp_path / "browser" / "profile")
    yield browser
    browser.close()


@with_browser
def test_numbers_appear_live_and_nothing_comes_from_elsewhere(
    web_port: int, browser: Browser, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    start_system("--url", numbers.url, "--every", "0.1")
    web = Web(web_port)

    browser.open(web.url)
    browser.wait_for("document.querySelector('#count-done b')?.innerText === '0'")
    numbers.add(1, 4, 9)
    browser.wait_for("document.querySelector('#count-done b').innerText === '3'")

    # The counts, the events and the history each come by themselves.
    browser.wait_for("document.querySelector('#events').innerText.includes('job.done')")
    browser.wait_for("document.querySelectorAll('svg polyline').length === 3")
    assert browser.text("#state") == "running"
    assert all(url.startswith(web.url) for url in browser.requested())
    assert browser.complaints() == []


@with_browser
def test_a_quarantined_job_is_shown_as_text_and_a_click_retries_it(
    web_port: int,
    browser: Browser,
    start_system: Start,
    env: dict[str, str],
    tmp_path: Path,
) -> None:
    switch = tmp_path / "mended"
    env["SWITCH"] = str(switch)
    options = tmp_path / "lowtide.toml"
    options.write_text('[[fetcher]]\nname = "evil"\nfetch = "jobs:evil_once"\n')
    system = start_system(
        *("--config", str(options), "--process", "jobs:until_mended"),
        *("--retries", "1", "--every", "0.1"),
    )
    system.wait_for("job.quarantined")

    browser.open(Web(web_port).url)
    browser.wait_for("document.querySelector('#quarantined a')")
    browser.click("#quarantined a")
    browser.wait_for("document.querySelector('#payload')")

    assert "<script>document.title = 'owned'</script>" in browser.text("#payload")
    assert "<img src=x onerror=" in browser.text("#error")
    assert browser.run("document.title") == "running \N{EN DASH} lowtide"
    assert browser.run("document.querySelectorAll('#job script, #job img').length") == 0
    assert browser.run("document.querySelector('#retry').disabled") is True

    switch.touch()
    browser.type("#token", TOKEN)
    browser.click("#unlock button")
    browser.wait_for("!document.querySelector('#retry').disabled")
    browser.click("#retry")

    [done] = system.wait_for("job.done")
    assert done["job_id"] == "<b>1</b>"
    browser.wait_for("document.querySelector('#message').innerText === 'count 1'")
    assert browser.complaints() == []


@with_browser
def test_jobs_that_have_ended_are_searched_and_shown_as_text(
    web_port: int,
    browser: Browser,
    start_system: Start,
    env: dict[str, str],
    tmp_path: Path,
) -> None:
    env["SWITCH"] = str(tmp_path / "mended")
    (tmp_path / "mended").touch()
    options = tmp_path / "lowtide.toml"
    options.write_text('[[fetcher]]\nname = "evil"\nfetch = "jobs:evil_once"\n')
    system = start_system(
        *("--config", str(options), "--process", "jobs:until_mended"),
        *("--every", "0.1"),
    )
    system.wait_for("job.done")
    web = Web(web_port)
    wait_until(lambda: '"more"' in web.get("/ended.json?text=owned")[1], "it is kept")

    browser.open(web.url)
    browser.wait_for("document.querySelector('#ended a')")
    row = browser.text("#ended tbody")
    assert row.startswith("<b>1</b>")
    assert "<script>document.title = 'owned'</script>" in row

    def search(field: str, word: str, found: str) -> None:
        browser.run(f"document.querySelector('#search').elements.{field}.value = ''")
        browser.type(f"#search [name={field}]", word)
        browser.click("#search button")
        browser.wait_for(f"document.querySelector('#found').innerText === {found!r}")
        browser.run("document.querySelector('#search').reset()")

    search("text", "OWNED", "1 found")
    search("text", "<i>nothing</i>", "0 found")
    search(
        "since",
        "<b>",
        "since must be a number of seconds, or 90s, 30m, 1h, 7d, got '<b>'",
    )
    assert browser.run("document.querySelector('[name=where]').disabled") is True
    browser.type("#token", TOKEN)
    browser.click("#unlock button")
    browser.wait_for("!document.querySelector('[name=where]').disabled")
    search("where", "attempt == `2`", "0 found")
    search("where", "attempt == `1`", "1 found")
    browser.click("#ended a")
    browser.wait_for("document.querySelector('#result')")

    assert "<script>document.title = 'owned'</script>" in browser.text("#payload")
    assert browser.text("#result") == "2"
    assert browser.run("document.title") == "running \N{EN DASH} lowtide"
    assert browser.run("document.querySelectorAll('main script, main img').length") == 0
    # What is wrong is answered with 400, which the browser notes.
    assert all("400" in each for each in browser.complaints())


def test_a_search_keeps_to_the_rules_of_the_page(
    web_port: int, start_system: Start
) -> None:
    start_system()
    web = Web(web_port)
    search = {"verb": "ended", "where": "id"}

    assert web.get("/ended.json", Origin="http://evil.example")[0] == 403
    assert web.get("/ended.json", Host="evil.example")[0] == 421
    assert web.get("/ended.json?where=id")[0] == 403
    assert web.act(search)[0] == 403
    assert web.act(search, X_Lowtide_Token=TOKEN)[0] == 200


@with_browser
def test_a_job_that_says_how_far_it_is_is_opened_and_cancelled(
    web_port: int, browser: Browser, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    system = start_system("--url", numbers.url, "--process", "many:stays")

    browser.open(Web(web_port).url)
    browser.wait_for("document.querySelector('#processors a')")
    assert "1: 40% <b>page</b> 4 of 10" in browser.text("#processors")
    browser.click("#processors a")
    browser.wait_for("document.querySelector('#cancel')")
    assert browser.run("document.querySelector('#cancel').disabled") is True
    browser.type("#token", TOKEN)
    browser.click("#unlock button")
    browser.wait_for("!document.querySelector('#cancel').disabled")
    assert browser.run("document.querySelector('#retry').disabled") is True
    browser.run("window.confirm = () => true")
    browser.click("#cancel")

    [cancelled] = system.wait_for("job.quarantined")
    assert cancelled["error"] == "JobCancelledError: cancelled by hand"
    browser.wait_for("!document.querySelector('#retry').disabled")
    assert browser.run("document.querySelector('#cancel').disabled") is True
    assert browser.complaints() == []


@with_browser
def test_buttons_pause_and_resume_and_the_page_follows_the_preferred_colours(
    web_port: int, browser: Browser, start_system: Start
) -> None:
    start_system()
    browser.open(Web(web_port).url)
    browser.type("#token", TOKEN)
    browser.click("#unlock button")

    browser.click("[data-verb=pause]")
    browser.wait_for("document.querySelector('#state').innerText === 'paused'")
    browser.click("[data-verb=resume]")
    browser.wait_for("document.querySelector('#state').innerText === 'running'")
    grounds = []
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        grounds.append(browser.run("getComputedStyle(document.body).backgroundColor"))

    assert grounds == ["rgb(247, 248, 248)", "rgb(16, 24, 23)"]


def test_other_sites_and_other_names_are_refused(
    web_port: int, start_system: Start
) -> None:
    start_system()
    web = Web(web_port)
    own = f"http://127.0.0.1:{web_port}"

    answers = {
        "own": web.get("/", Origin=own)[0],
        "tunnel": web.get("/", Host="localhost:9000")[0],
        "name": web.get("/", Host="evil.example")[0],
        "suffix": web.get("/", Host="127.0.0.1.evil.example:80")[0],
        "nobody": web.get("/", Host="")[0],
        "origin": web.get("/status.json", Origin="http://evil.example")[0],
        "null": web.get("/status.json", Origin="null")[0],
        "elsewhere": web.get("/../setup.cfg")[0],
    }

    assert answers == {
        "own": 200,
        "tunnel": 200,
        "name": 421,
        "suffix": 421,
        "nobody": 421,
        "origin": 403,
        "null": 403,
        "elsewhere": 404,
    }


def test_actions_need_the_token_and_a_known_verb(
    web_port: int, start_system: Start
) -> None:
    system = start_system()
    web = Web(web_port)
    pause = {"verb": "pause"}

    refused = [
        web.act(pause)[0],
        web.act(pause, X_Lowtide_Token=TOKEN[:-1])[0],
        web.ask("POST", "/act", "{}", Origin="http://evil.example")[0],
        web.act(pause, X_Lowtide_Token=TOKEN, Content_Type="text/plain")[0],
        web.act({"verb": "stop"}, X_Lowtide_Token=TOKEN)[0],
        web.act(["pause"], X_Lowtide_Token=TOKEN)[0],
        web.act({"verb": "detach", "names": ["x"]}, X_Lowtide_Token=TOKEN)[0],
        web.ask("POST", "/act", "x" * 70_000, Content_Type="application/json")[0],
    ]
    before = system.status()["state"]
    accepted = web.act(pause, X_Lowtide_Token=TOKEN)

    assert refused == [403, 403, 403, 415, 400, 400, 400, 413]
    assert before == "running"
    assert accepted == (200, {"paused": ["numbers"]})
    assert system.status()["state"] == "paused"


def test_without_a_token_the_page_is_read_only(
    web_port: int, env: dict[str, str], start_system: Start
) -> None:
    del env["LOWTIDE_WEB_TOKEN"]
    start_system()

    status, answer = Web(web_port).act({"verb": "pause"}, X_Lowtide_Token="")

    assert status == 403
    assert answer == {"error": "read-only: no LOWTIDE_WEB_TOKEN is set"}


@with_browser
def test_a_page_that_is_read_only_says_so_and_offers_nothing(
    web_port: int, env: dict[str, str], browser: Browser, start_system: Start
) -> None:
    del env["LOWTIDE_WEB_TOKEN"]
    start_system()

    browser.open(Web(web_port).url)
    browser.wait_for("document.querySelector('#read-only').innerText === 'read-only'")

    offered = "#actions, #unlock"
    hidden = f"[...document.querySelectorAll('{offered}')].every((each) => each.hidden)"
    assert browser.run(hidden) is True
    assert Web(web_port).get("/access.json") == (200, '{"actions": false}')


def test_health_and_readiness_tell_apart_what_lives_and_what_works(
    web_port: int, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")
    system.wait_for("fetcher.polled", outcome="none")
    web = Web(web_port)

    ready = web.get("/readyz")
    numbers.program.close()
    system.wait_for("fetcher.polled", outcome="error")
    # Where a request was under way as the server ended, it is cut off first.
    failing = wait_until(
        lambda: (answer := unless_ready(web)) and "Unreachable" in answer[1] and answer,
        "not ready, since it cannot be reached",
    )
    system.command("detach", "--count", "2")
    alone = web.get("/readyz")

    assert ready == (200, "ready\n")
    assert failing[0] == 503
    assert failing[1].startswith("numbers backs off: UnreachableError: ")
    assert alone[1].splitlines()[-1] == "no processor is there"
    assert web.get("/healthz") == (200, "ok\n")


def unless_ready(web: Web) -> tuple[int, str] | None:
    answer = web.get("/readyz")
    return None if answer[0] == 200 else answer


def test_a_journal_that_was_moved_away_is_not_ready(
    web_port: int, env: dict[str, str], start_system: Start
) -> None:
    system = start_system()
    system.wait_for("fetcher.polled")
    web = Web(web_port)
    journal = Path(env["LOWTIDE_JOURNAL"])

    journal.rename(journal.with_suffix(".away"))
    away = web.get("/readyz")
    journal.with_suffix(".away").rename(journal)

    assert away[0] == 503
    assert away[1].splitlines()[-1].startswith(f"the journal {journal} is gone")
    assert web.get("/readyz") == (200, "ready\n")


def test_a_root_that_hangs_is_not_healthy_and_the_page_says_so(
    web_port: int, start_system: Start
) -> None:
    system = start_system()
    root = parent(system.status()["fetchers"][0]["pid"])
    web = Web(web_port)

    os.kill(root, signal.SIGSTOP)
    paths = ("/healthz", "/readyz", "/metrics")
    with ThreadPoolExecutor(len(paths)) as pool:
        hanging = dict(zip(paths, pool.map(web.get, paths), strict=True))
    page = web.get("/")[0]
    os.kill(root, signal.SIGCONT)

    answer = (503, "the root does not answer: no answer within 3 s\n")
    assert hanging == dict.fromkeys(hanging, answer)
    assert page == 200
    assert web.get("/healthz") == (200, "ok\n")


def test_metrics_are_those_that_were_promised_and_count_right(
    web_port: int, start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--every", "0")
    system = start_system("--url", numbers.url, "--every", "0.1")
    numbers.add(*range(5), -1)
    system.wait_for("job.done", count=5)
    system.wait_for("job.quarantined")

    status, text = Web(web_port).get("/metrics")

    families = {each.name: each for each in text_string_to_metric_families(text)}
    exposed = {
        f"{name}_total" if family.type == "counter" else name
        for name, family in families.items()
    }
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert status == 200
    assert exposed == PROMISED
    assert exposed == set(
        re.findall(r"^\| `(lowtide_\w+)", METRICS.read_text(), re.MULTILINE)
    )
    assert samples["lowtide_items_fetched_total", "numbers"] == 6
    assert samples["lowtide_items_finished_total", "numbers", "ok"] == 5
    assert samples["lowtide_items_finished_total", "numbers", "quarantined"] == 1
    assert samples["lowtide_item_duration_seconds_count", "numbers"] == 5
    assert samples["lowtide_quarantined_items", "numbers"] == 1
    assert samples["lowtide_actors", "processor", "running"] == 2
    assert samples["lowtide_journal_bytes",] > 0
    assert samples["lowtide_polls_skipped_total", "no_demand", "numbers"] == 0
    assert samples["lowtide_redeliveries_total", "numbers", "recovered"] == 0
    assert samples["lowtide_unknown_outcomes_total", "numbers"] == 0
    for family in families.values():
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.keys() <= {
                *("source", "role", "outcome", "reason", "state"),
                *("le", "version"),
            }


PROMISED = {
    "lowtide_polls_total",
    "lowtide_polls_skipped_total",
    "lowtide_poll_duration_seconds",
    "lowtide_last_poll_timestamp_seconds",
    "lowtide_items_fetched_total",
    "lowtide_items_dispatched_total",
    "lowtide_items_finished_total",
    "lowtide_item_duration_seconds",
    "lowtide_item_wait_seconds",
    "lowtide_oldest_item_age_seconds",
    "lowtide_buffer_items",
    "lowtide_buffer_capacity",
    "lowtide_demand_pending",
    "lowtide_leases_active",
    "lowtide_redeliveries_total",
    "lowtide_stale_acks_total",
    "lowtide_duplicates_total",
    "lowtide_quarantined_items",
    "lowtide_actors",
    "lowtide_actor_restarts_total",
    "lowtide_backpressure_active",
    "lowtide_journal_commit_seconds",
    "lowtide_journal_bytes",
    "lowtide_build_info",
    "lowtide_retrying_items",
    "lowtide_unknown_outcomes_total",
    "lowtide_state_timestamp_seconds",
}


def test_a_probe_may_ask_for_the_head_alone(web_port: int, start_system: Start) -> None:
    system = start_system()
    system.wait_for("fetcher.polled")
    web = Web(web_port)

    answers = {path: web.ask("HEAD", path) for path in ("/healthz", "/readyz", "/x")}

    assert answers == {"/healthz": (200, ""), "/readyz": (200, ""), "/x": (404, "")}


def test_without_its_library_metrics_say_what_to_install(
    web_port: int, env: dict[str, str], tmp_path: Path, start_system: Start
) -> None:
    missing = tmp_path / "prometheus_client.py"
    missing.write_text("raise ImportError('as if it were missing')")
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    start_system()

    assert Web(web_port).get("/metrics") == (
        501,
        (
            "metrics need prometheus-client, which is not installed: "
            "pip install 'lowtide[metrics]'\n"
        ),
    )


def test_the_page_may_die_without_harm_and_comes_back(
    web_port: int, start_system: Start
) -> None:
    system = start_system()
    [before] = system.wait_for("job.fetched")[:1]
    pid = web_pid(system)

    os.kill(pid, signal.SIGKILL)
    system.wait_for("stage.exited", stage="web")
    fetched = len(system.all_of("job.fetched"))
    system.wait_for("job.fetched", count=fetched + 2)

    assert before["event"] == "job.fetched"
    wait_until(lambda: healthy(web_port), "the page is back")
    assert web_pid(system) != pid


def test_the_page_waits_for_its_port_if_another_has_taken_it_meanwhile(
    web_port: int, start_system: Start
) -> None:
    system = start_system()
    pid = web_pid(system)

    # Main is not to start another before the port is taken.
    main = system.program.process.pid
    os.kill(main, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    with taken(web_port):
        os.kill(main, signal.SIGCONT)
        system.wait_for("web.failed", count=2)
    wait_until(lambda: healthy(web_port), "the page is back")

    assert system.status()["state"] == "running"


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    """A port that somebody else listens at, once it is free."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(lambda: listens(other, port), "the port is free")
        yield


def listens(other: socket.socket, port: int) -> bool:
    try:
        other.bind(("127.0.0.1", port))
    except OSError:
        return False
    other.listen()
    return True


def healthy(port: int) -> bool:
    try:
        return Web(port).get("/healthz") == (200, "ok\n")
    except (OSError, http.client.HTTPException):
        return False


def web_pid(system: Any) -> int:
    [pid] = [
        pid
        for pid in system.pids()
        if b"actors.web" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return int(pid)


def test_a_port_that_is_taken_ends_the_start(
    env: dict[str, str], start_system: Start
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        env["LOWTIDE_WEB"] = str(port)

        system = start_system(ready=False)

        assert system.wait() == 2
    [line] = [each for each in system.program.lines if each.startswith("lowtide:")]
    assert line.startswith(
        f"lowtide: the page cannot be served at port {port}: Address already in use "
        f"(pid {os.getpid()}: "
    )

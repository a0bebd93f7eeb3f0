"""The page in a real browser, where every text that it shows is an attack.

Whatever a source, a job, a function or a machine names itself: no script of theirs
runs, nothing of theirs becomes an element, and no link leads to a script.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog

from actors.web.answers import Answer, Answers, as_json
from actors.web.server import Server
from tests.support.browser import Browser, find_chromium

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        find_chromium() is None, reason="Chromium is not installed (apt: chromium)"
    ),
]

TOKEN = "a token of the tests"  # noqa: S105 - their own
ATTACKS = (
    "<img src=x onerror=window.owned='img'>",
    "\"><script>window.owned='script'</script>",
    "javascript:window.owned='link'//",
    "' onmouseover='window.owned=1' x='",
    '" onfocus="window.owned=1" autofocus tabindex=1 style="position:fixed;inset:0',
    "</pre></textarea></title><svg onload=window.owned='svg'>",
    "<a href=\"javascript:window.owned='a'\">x</a>",
    "<iframe srcdoc=\"<script>parent.owned='frame'</script>\"></iframe>",
    "${window.owned='template'} {{constructor.constructor('window.owned=1')()}}",
    "<form action=javascript:window.owned=1><button autofocus>x",
    "<style>*{background:url(//evil.example/)}</style><base href=//evil.example/>",
    "\u2028window.owned=1\u2029</script><!--<script>",
    "data:text/html,<script>opener.owned=1</script>",
)
#: What a page of our own has; all else would be an attack's.
FOREIGN = "img, iframe, base, style, object, embed, script:not([src$='.js']), [onload]"
ON = "[onerror], [onmouseover], [onfocus], [srcdoc], [style*='inset']"


def hostile(shape: Any, attack: str) -> Any:
    """A value of the same shape, whose every text is an attack."""
    match shape:
        case str():
            return attack
        case dict():
            return {key: hostile(value, attack) for key, value in shape.items()}
        case list():
            return [hostile(value, attack) for value in shape]
        case _:
            return shape


PROGRESS = {"taken_from": "f", "id": "1", "jobs": 2, "fraction": 0.4, "text": "t"}
FETCHER = {
    "name": "f",
    "state": "s",
    "waiting_for": "w",
    "buffered": 0,
    "demand": 0,
    "last_error": "e",
    "role": "r",
}
PROCESSOR = {
    "name": "p",
    "kind": "k",
    "host": "h",
    "state": "s",
    "waiting_for": "w",
    "progress": [PROGRESS],
    "pid": "1",
    "done": "x",
    "in_flight": "x",
}
COUNTS = {"done": 0, "buffered": 0, "quarantined": 1, "in_flight": 0, "retrying": 0}
STATUS = {
    "state": "running",
    "why": "w",
    "fetchers": [FETCHER],
    "processors": [PROCESSOR],
    "events": [{"at": "2", "level": "l", "event": "e", "text": "t"}],
}
RUN = {
    "at": "2",
    "event": "e",
    "attempt": 1,
    "processor": "p",
    "error": "e",
    "trace": "t",
}
JOB = {
    "id": "1",
    "key": "k",
    "fetcher": "f",
    "state": "quarantined",
    "attempt": 1,
    "crashes": 0,
    "error": "e",
    "trace": "t",
    "fetched_at": "f",
    "ended_at": "f",
    "finished_at": "f",
    "processor": "p",
    "payload": {"a": ["b", {"c": "d"}]},
    "result": {"a": ["b"]},
    "history": [RUN],
}


class System:
    """Stands for the root behind the page."""

    points: tuple[float, ...] = ()

    def __init__(self) -> None:
        self.attack = ""
        self.over = threading.Event()

    def journal(self) -> dict[str, Any]:
        return {"journal": None}

    def status(self) -> dict[str, Any]:
        return {**hostile(STATUS, self.attack), "accounting": COUNTS}

    def ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        return {"error": self.attack}

    def samples(self, within_s: float) -> Iterator[dict[str, Any]]:
        yield self.status()
        while not self.over.wait(0.2):
            yield self.status()


class Hostile(Answers):
    """Answers as the real ones do, with a journal full of attacks."""

    def get(self, path: str, query: dict[str, str]) -> Answer:
        attack = self._sampler.attack  # type: ignore[attr-defined]
        job = hostile(JOB, attack)
        if path == "/job.json":
            if query.get("id") == '"absent"':
                return super().get(path, query | {"id": attack, "fetcher": attack})
            # The states are ours, and one of them offers what can be done.
            return as_json(200, job | {"state": "quarantined"})
        if path == "/ended.json":
            return as_json(200, {"jobs": [job]})
        if path == "/jobs.json":
            return as_json(200, [job])
        return super().get(path, query)


@pytest.fixture
def system() -> Iterator[System]:
    system = System()
    yield system
    system.over.set()


@pytest.fixture
def url(system: System) -> Iterator[str]:
    stand_in: Any = system
    log = structlog.wrap_logger(
        None,
        processors=[_drop],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    server = Server(0, Hostile(stand_in, TOKEN, log), stand_in, log)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    system.over.set()
    server.shutdown()
    server.server_close()


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "browser").mkdir()
    browser = Browser(tmp_path / "browser" / "profile")
    yield browser
    browser.close()


def provoke(browser: Browser) -> None:
    """Do to every element what an attack waits for."""
    browser.run(
        "for (const each of document.querySelectorAll('*')) {"
        " for (const kind of ['mouseover', 'mouseenter', 'focus', 'error', 'load'])"
        "  each.dispatchEvent(new Event(kind, {bubbles: false})); }"
    )


def is_unharmed(browser: Browser, url: str) -> None:
    """Nothing of an attack has become a part of the page."""
    provoke(browser)
    assert browser.run("window.owned") is None
    assert browser.run(f"document.querySelectorAll({json.dumps(FOREIGN)}).length") == 0
    assert browser.run(f"document.querySelectorAll({json.dumps(ON)}).length") == 0
    leads = browser.run("[...document.querySelectorAll('a')].map((each) => each.href)")
    assert [each for each in leads if not each.startswith(url)] == []
    assert [each for each in browser.requested() if not each.startswith(url)] == []
    # None has asked for anything, nor been kept from it: it is no element at all.
    assert [e for e in browser.complaints() if "Security Policy" in e] == []


def test_no_text_of_others_runs_on_the_page(
    url: str, browser: Browser, system: System
) -> None:
    for attack in ATTACKS:
        system.attack = attack
        browser.open("about:blank")
        browser.open(url)
        browser.run(f"sessionStorage.setItem('lowtide-token', {json.dumps(TOKEN)})")
        browser.wait_for("document.querySelector('#fetchers tbody td:not(.none)')")
        browser.wait_for("document.querySelector('#quarantined a')")
        is_unharmed(browser, url)
        browser.wait_for("document.querySelector('#ended a')")
        browser.type("#search [name=text]", attack)
        browser.run("document.querySelector('#search button').click()")
        browser.wait_for("document.querySelector('#found').textContent === '1 found'")
        is_unharmed(browser, url)

        browser.run("document.querySelector('#quarantined a').click()")
        browser.wait_for("document.querySelector('#payload')")
        is_unharmed(browser, url)
        browser.run("window.confirm = () => true")
        browser.run("document.querySelector('#retry').click()")
        browser.wait_for("!document.querySelector('#message').hidden")
        assert browser.run("document.querySelector('#message').textContent") == attack
        is_unharmed(browser, url)


def test_no_address_of_others_runs_on_the_page(
    url: str, browser: Browser, system: System
) -> None:
    for attack in ATTACKS:
        system.attack = attack
        browser.open("about:blank")
        words = quote(attack)
        browser.open(f'{url}?q={words}#job?fetcher={words}&id="absent"&x={words}')
        browser.wait_for("document.querySelector('#job p')?.innerText")
        is_unharmed(browser, url)
        browser.open(f"{url}#{words}")
        is_unharmed(browser, url)


def test_what_would_get_in_all_the_same_is_not_run(
    url: str, browser: Browser, system: System
) -> None:
    system.attack = "x"
    browser.open(url)
    browser.run("window.refused = []")
    browser.run(
        "document.addEventListener('securitypolicyviolation',"
        " (event) => window.refused.push(event.effectiveDirective))"
    )

    browser.run(
        "document.body.insertAdjacentHTML('beforeend',"
        ' \'<img src="icon.svg" onload="window.owned=1">'
        '<iframe src="//evil.example/"></iframe>\')'
    )
    browser.run(
        "(() => { const script = document.createElement('script');"
        " script.textContent = 'window.owned=2'; document.body.append(script);"
        " const link = document.createElement('a');"
        " link.href = 'javascript:window.owned=3'; document.body.append(link);"
        " link.click(); })()"
    )

    browser.wait_for("window.refused.includes('frame-src')")
    browser.wait_for(
        "window.refused.filter((e) => e.startsWith('script-src')).length > 2"
    )
    assert browser.run("window.owned") is None
    # A frame that is refused shows a picture of the browser's own.
    assert [each for each in browser.requested() if "evil" in each] == []

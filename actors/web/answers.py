"""What each address answers: a status, a type, a body."""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.host.redaction import masked, redact
from actors.journal.file import JournalDamagedError
from actors.journal.selection import SelectionError
from actors.journal.stores import look_into, problem_of, reachable
from actors.status import readiness
from actors.web.admission import Guesses
from actors.web.ended_jobs import LOOKED_S, NOTHING, find_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from actors.journal.view import JournalView
    from actors.web.sampler import Sampler

#: How long an action may take, in seconds; a detach waits for its processor.
ACTION_WITHIN_S = 600.0
#: Jobs on the page's list.
LISTED = 200

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {"/": "index.html"} | {
    f"/{name}": name for name in ("page.js", "plots.js", "page.css", "icon.svg")
}
#: What the page may ask of the root; ``stop`` is for those who have a shell.
ACTIONS = ("pause", "resume", "attach", "detach", "jobs", "ended")
_NO_METRICS = (
    "metrics need prometheus-client, which is not installed: "
    "pip install 'lowtide[metrics]'\n"
)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    kind: str
    body: bytes


def text(status: int, words: str) -> Answer:
    """Plain text."""
    return Answer(status, "text/plain; charset=utf-8", redact(words).encode())


def as_json(status: int, value: Any) -> Answer:
    """JSON, secrets masked."""
    body = redact(json.dumps(value)).encode()
    return Answer(status, "application/json", body)


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    # Not all of it: the page acts by the job's key.
    return job | {name: masked(job.get(name)) for name in ("payload", "result")}


class Answers:
    """Finds the answer for an address."""

    def __init__(
        self, sampler: Sampler, token: str | None, log: FilteringBoundLogger
    ) -> None:
        self._sampler = sampler
        self._token = token
        self._log = log
        self._guesses = Guesses()
        self._guessing = threading.Lock()
        self._searching = threading.Lock()

    def get(self, path: str, query: dict[str, str]) -> Answer:
        """Answer a GET."""
        if path in _FILES:
            file = _STATIC / _FILES[path]
            return Answer(200, _TYPES[file.suffix], file.read_bytes())
        routes: dict[str, Callable[[], Answer]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status.json": self._status,
            "/metrics": self._metrics,
            "/access.json": lambda: as_json(200, {"actions": self._token is not None}),
            "/history.json": lambda: as_json(200, self._sampler.points),
            "/jobs.json": self._jobs,
            "/job.json": lambda: self._job(query),
            "/ended.json": lambda: self._ended(query),
        }
        if path not in routes:
            return text(404, "there is nothing here\n")
        return routes[path]()

    def act(self, command: Any) -> Answer:
        """Carry out an action for somebody who is not refused."""
        if not isinstance(command, dict) or command.get("verb") not in ACTIONS:
            expected = ", ".join(ACTIONS)
            return as_json(400, {"error": f"expected a verb, one of {expected}"})
        if command["verb"] == "ended":
            return self._ended(command, trusted=True)
        answer = self._sampler.ask(command, ACTION_WITHIN_S)
        return as_json(400 if "error" in answer else 200, answer)

    def refused(self, token: str | None, address: str) -> tuple[Answer, float] | None:
        """Refuse an action of somebody who has not the token.

        Returns:
            What to answer, and for how long to hold that; None if the token is right.
        """
        if self._token is None:
            return as_json(403, {"error": "read-only: no LOWTIDE_WEB_TOKEN is set"}), 0
        token = token or ""
        # Looked at whatever was guessed before: no guesses keep the right one out.
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        wrong = as_json(403, {"error": "the token is not right"})
        if not token:
            return wrong, 0
        now = time.monotonic()
        with self._guessing:
            wait_s = self._guesses.wrong(address, now)
            count = self._guesses.to_tell(wait_s, now)
        if count is not None:
            told = {"address": address, "count": count, "wait_s": wait_s}
            self._log.warning("web.token_refused", **told)
        if not wait_s:
            return wrong, 0
        error = f"the token is not right, one of many: this took {wait_s:g} s for that"
        return as_json(429, {"error": error}), wait_s

    def _healthz(self) -> Answer:
        answer = self._sampler.journal()
        if "error" in answer:
            return text(503, f"{answer['error']}\n")
        return text(200, "ok\n")

    def _readyz(self) -> Answer:
        status = self._sampler.status()
        if "error" in status:
            return text(503, f"{status['error']}\n")
        found = readiness.problems(status)
        if (journal := self._journal()) is not None:
            found += filter(None, [problem_of(journal)])
        if found:
            return text(503, "".join(f"{each}\n" for each in found))
        return text(200, "ready\n")

    def _status(self) -> Answer:
        status = self._sampler.status()
        return as_json(503 if "error" in status else 200, status)

    def _metrics(self) -> Answer:
        try:
            from actors.web.prometheus import render  # noqa: PLC0415
        except ImportError:
            return text(501, _NO_METRICS)
        status = self._sampler.status()
        if "error" in status:
            return text(503, f"{status['error']}\n")
        body = render(status, self._journal())
        return Answer(200, "text/plain; version=0.0.4; charset=utf-8", body)

    def _jobs(self) -> Answer:
        if (view := self._view()) is None:
            return as_json(200, [])
        try:
            with contextlib.closing(view):
                return as_json(200, [*map(_shown, view.jobs("quarantined", LISTED))])
        except JournalDamagedError as error:
            return as_json(503, {"error": str(error)})

    def _ended(self, asked: dict[str, Any], *, trusted: bool = False) -> Answer:
        if asked.get("where") and not trusted:
            # A short one can be made to take all of the memory there is.
            return as_json(403, {"error": "where is for those who have the token"})
        if (view := self._view()) is None:
            return as_json(200, NOTHING)
        with contextlib.closing(view):
            # What is found at a time is in memory: once, not for each who asks.
            if not self._searching.acquire(timeout=LOOKED_S):
                return as_json(503, {"error": "another search is not over yet"})
            try:
                return as_json(200, find_ended(view, asked, time.monotonic))
            except SelectionError as error:
                return as_json(400, {"error": str(error).removeprefix("--")})
            except JournalDamagedError as error:
                return as_json(503, {"error": str(error)})
            finally:
                self._searching.release()

    def _job(self, query: dict[str, str]) -> Answer:
        fetcher, job_id = query.get("fetcher", ""), query.get("id", "")
        if (view := self._view()) is None:
            return as_json(404, {"error": "the system keeps no journal"})
        try:
            with contextlib.closing(view):
                for job in view.find(job_id, fetcher):
                    job["history"] = view.history(fetcher, job["key"])
                    return as_json(200, _shown(job))
        except JournalDamagedError as error:
            return as_json(503, {"error": str(error)})
        return as_json(404, {"error": f"there is no job {job_id} of {fetcher}"})

    def _view(self) -> JournalView | None:
        journal = self._journal()
        with contextlib.suppress(JournalDamagedError):
            return look_into(journal) if journal else None
        return None

    def _journal(self) -> str | None:
        answer = self._sampler.journal()
        if "error" in answer or (told := answer["journal"]) is None:
            return None
        return reachable(told, os.environ.get("LOWTIDE_JOURNAL"))

"""Hooks in a running system: what they do, or fail to do, harms nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.processes import DeadlineError, System, wait_until

pytestmark = pytest.mark.system

Start = Callable[..., System]

MODULE = """
import json, os, time

jobs = iter([{"id": n} for n in range(20)])

def fetch():
    return next(jobs, None)

def process(job):
    if job["id"] == 13:
        raise ValueError("unlucky")
    return job["id"]

def note(event):
    with open(os.environ["NOTES"], "a") as file:
        file.write(json.dumps(event) + "\\n")

def raises(event):
    raise ValueError("no")

def hangs(event):
    os.write(1, b"it hangs\\n")  # at once: it is between lines of the log
    time.sleep(3600)

def dies_once(event):
    if not os.path.exists(os.environ["NOTES"] + ".died"):
        open(os.environ["NOTES"] + ".died", "w").close()
        os._exit(3)
"""


@pytest.fixture
def start(tmp_path: Path, env: dict[str, str], start_system: Start) -> Start:
    (tmp_path / "hooked.py").write_text(MODULE)
    env["PYTHONPATH"] += f":{tmp_path}"
    env["NOTES"] = str(tmp_path / "notes")

    def start(hooks: str, *words: str) -> System:
        file = tmp_path / "lowtide.toml"
        file.write_text(
            f'every_s = 0.1\nretries = 1\n{hooks}\n[[fetcher]]\nname = "a"\n'
            'fetch = "hooked:fetch"\n[[processor]]\nname = "p"\ncount = 2\n'
            'process = "hooked:process"\n'
        )
        return start_system("--config", str(file), *words)

    return start


def notes(env: dict[str, str]) -> list[dict[str, Any]]:
    path = Path(env["NOTES"])
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def test_each_event_of_each_job_is_told(start: Start, env: dict[str, str]) -> None:
    system = start('[hooks]\nall = "hooked:note"', "--until-idle", "1")

    assert system.wait() == 0
    told = notes(env)
    by_name = {
        name: {each["job_id"] for each in told if each["event"] == name}
        for name in ("fetched", "leased", "done", "quarantined")
    }
    everyone = set(range(20))
    assert by_name["fetched"] == by_name["leased"] == everyone
    assert by_name["done"] == everyone - {13}
    assert by_name["quarantined"] == {13}
    [bad] = [each for each in told if each["event"] == "quarantined"]
    assert bad["error"] == "ValueError: unlucky"
    assert "Traceback" in bad["trace"]


def test_hooks_that_raise_hang_and_die_harm_nothing(
    start: Start, env: dict[str, str]
) -> None:
    names = '["hooked:raises", "hooked:hangs", "hooked:dies_once"]'
    system = start(f'[hooks]\nall = "hooked:note"\ndone = {names}')

    system.wait_for("stage.exited", stage="hooks")
    system.wait_for("job.done", count=19)
    wait_until(lambda: system.status()["accounting"]["done"] == 19, "all are done")
    code, _, told = system.command("stop")
    assert code == 0, told
    assert system.wait() == 0


def test_one_that_died_is_started_again_and_hears_of_what_follows(
    start: Start, env: dict[str, str]
) -> None:
    system = start('[hooks]\nleased = "hooked:dies_once"\ndone = "hooked:note"')

    system.wait_for("stage.exited", stage="hooks")
    system.wait_for("job.done", count=19)
    system.command("jobs", "retry", "--all")
    system.wait_for("job.quarantined", count=2)

    system.command("stop")
    assert system.wait() == 0


def test_a_person_is_told_in_one_message(
    start: Start, env: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("apprise")
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415
    from threading import Thread  # noqa: PLC0415

    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(json.loads(body)["message"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        url = f"json://127.0.0.1:{server.server_port}/"
        hooks = f'notify = ["{url}"]\n[hooks]\nquarantined = "hooked:note"'
        system = start(hooks)
        # On a busy machine the process of hooks is there long after the system is.
        wait_until(lambda: notes(env) != [], "a hook has heard of it")
        system.command("stop")
        assert system.wait() == 0
    finally:
        server.shutdown()
        server.server_close()

    # What waits for others at the end is sent then.
    assert got == ["a: a job was set aside: ValueError: unlucky"]


def test_a_hook_that_is_not_there_is_refused_at_the_start(start: Start) -> None:
    with pytest.raises(DeadlineError, match=r"lowtide.toml:4: done: 'nothing' is not"):
        start('[hooks]\ndone = "hooked:nothing"')

"""A canary in every place where a secret may be: nowhere is it seen."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.host.ports import free_port

pytestmark = pytest.mark.system

Start = Callable[..., Any]

URL_CANARY = "canary-in-url"
OPTION_CANARY = 'canary "in" option'
VARIABLE_CANARY = "canary/in variable"
TOKEN_CANARY = "canary-of-page-16"  # noqa: S105 - the test's own


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def words_of(system: Any) -> str:
    """What ``ps`` shows of every process of the system."""
    words = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in system.pids()]
    return "\n".join(each.replace(b"\0", b" ").decode() for each in words)


def test_no_secret_is_seen_in_whatever_a_system_shows(
    env: dict[str, str], tmp_path: Path, start_system: Start, eventually: Start
) -> None:
    port = free_port()
    env |= {"API_TOKEN": VARIABLE_CANARY, "LOWTIDE_WEB_TOKEN": TOKEN_CANARY}
    options = tmp_path / "lowtide.toml"
    options.write_text(
        '[[fetcher]]\nname = "leaky"\nfetch = "jobs:leaky_fetch"\n'
        f'options = {{ url = "http://bob:{URL_CANARY}@127.0.0.1:1/x", '
        f"token = '{OPTION_CANARY}' }}\n"
    )
    system = start_system(
        *("--config", str(options), "--process", "jobs:leaky_process"),
        *("--retries", "2", "--web", str(port), "--log-level", "debug"),
        *("--every", "0.1"),
    )
    [failed] = system.wait_for("job.failed")
    [polled] = system.wait_for("fetcher.polled", outcome="error")[:1]
    system.wait_for("job.quarantined")
    # Now and then it is asked again, and backs off no more as long as that takes.
    ready = eventually(
        lambda: "backs off" in (told := get(port, "/readyz")) and told, "it backs off"
    )
    system.signal(signal.SIGUSR1)
    [dumped] = system.wait_for("system.dumped")

    seen = {
        "status": system.command("status")[1] + system.command("status", "--json")[1],
        "check": system.command("check", "--config", str(options), "--show")[1],
        "jobs": system.command("jobs", "show", "1")[1],
        "ps": words_of(system),
        "dump": Path(dumped["file"]).read_text(),
        "journal": Path(env["LOWTIDE_JOURNAL"]).read_bytes().decode(errors="replace"),
    }
    seen["/readyz"] = ready
    paths = ("/", "/status.json", "/metrics", "/jobs.json", "/history.json")
    for path in (*paths, "/job.json?fetcher=leaky&id=1"):
        seen[path] = get(port, path)
    seen["log"] = "\n".join(system.program.lines)

    assert failed["error"] == 'ValueError: *** *** {"at": "***"}'
    assert polled["error"] == (
        "RuntimeError: GET http://***@127.0.0.1:1/x?key=*** with *** or '***'"
    )
    assert "ValueError" in seen["jobs"]
    assert "ValueError" in seen["/job.json?fetcher=leaky&id=1"]
    assert [name for name, text in seen.items() if "canary" in text] == []


def test_what_the_environment_filled_in_is_secret_whatever_it_is_called(
    env: dict[str, str], tmp_path: Path, start_system: Start
) -> None:
    port = free_port()
    env |= {"FLAVOUR": "canary-of-vanilla", "API_TOKEN": VARIABLE_CANARY}
    options = tmp_path / "lowtide.toml"
    options.write_text(
        '[[fetcher]]\nname = "sweet"\nfetch = "jobs:flavoured_fetch"\n'
        'options = { flavour = "{env:FLAVOUR}" }\n'
    )
    system = start_system(
        *("--config", str(options), "--process", "jobs:leaky_process"),
        *("--retries", "1", "--web", str(port)),
    )
    system.wait_for("job.quarantined")

    of_file = ("--config", str(options), "--port", str(system.port))
    seen = {
        "list": system.command("jobs", "list", *of_file)[1],
        "show": system.command("jobs", "show", "1", *of_file)[1],
        "status": system.command("status", "--json")[1],
        "log": "\n".join(system.program.lines),
    }
    for path in ("/jobs.json", "/job.json?fetcher=sweet&id=1", "/status.json"):
        seen[path] = get(port, path)

    assert '"taste": "***"' in seen["/job.json?fetcher=sweet&id=1"]
    assert '"taste": "***"' in seen["show"]
    assert [name for name, text in seen.items() if "canary" in text] == []


def test_a_secret_among_the_words_is_gone_from_ps_once_it_runs(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "1", "--every", "0")
    url = numbers.url.replace("http://", f"http://bob:{URL_CANARY}@")

    system = start_system("--url", url, "--web-token=" + TOKEN_CANARY)

    system.wait_for("job.done")
    assert "actors.main" in words_of(system)
    assert "canary" not in words_of(system)
    assert not any("canary" in line for line in system.program.lines)

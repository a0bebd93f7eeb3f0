"""What the docs show is run as it stands there, and comes to what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import requests

from actors import Fetcher, Processor
from actors.demand.buffer import Buffer
from actors.host.ports import free_port
from actors.testing.harness import Harness
from actors.testing.processes import Program, System, Systems, wait_until
from tests.docs.blocks import Block, Command, Taken, commands, shows

taken = Taken()

README = "README.md"
OWN = "docs/jobs.md"
RUNNING = "docs/running.md"
LOG = taken(README, "text", "10:20:01.856")
MORE = taken(RUNNING, "console", "$ python -m actors.main attach")
PAGES = taken(RUNNING, "python", "# pages.py")
SEEING = taken(RUNNING, "console", "$ lowtide top")
BILLING = taken(OWN, "python", "# billing.py")
BILL = taken(OWN, "console", "$ python -m actors.main --url")
PAGE = taken(OWN, "python", "def fetch(url):")
#: The README has them too.
SHORT = (taken(README, "python", "# billing.py"), taken(README, "console", "$ python"))
STATES = taken.all_of("python", "def fetch(url, state")
PROGRAM = taken(OWN, "python", "from actors import")
BESIDE = taken(OWN, "python", "def bills_are_paid")
REPORTS = taken(OWN, "python", "# reports.py")
PIPELINE = taken(OWN, "toml", "# pipeline.toml")
RUN_PIPELINE = taken(OWN, "console", "$ python number_server.py")
JOBS = taken(RUNNING, "console", "$ python -m actors.main jobs")
TESTS = (
    *taken.all_of("python", "from billing import process\n\n\ndef test_"),
    taken("docs/testing.md", "python", "def test_it_runs"),
)
SAMPLE = taken("docs/testing.md", "python", "# sample.py")
SIMULATE = taken("docs/testing.md", "console", "$ python -m actors.main simulate")
NEXT_POLL = taken("docs/polling.md", "python", "def fetch(url, next_poll")
CHECKED = taken("docs/polling.md", "python", "def check_options")
MANUAL = taken("docs/demand.md", "toml", '[[processor]]\nname = "send"')
ASK = taken("docs/demand.md", "console", "$ lowtide ask")
LETTERS = taken("docs/demand.md", "python", "# letters.py")
BY_CLOCK = taken("docs/demand.md", "toml", "demand = ")
WAIT = taken("docs/demand.md", "console", "$ lowtide wait")
TELLING = taken("docs/hooks.md", "python", "# telling.py")
COUNTING = taken("docs/hooks.md", "python", "from actors import DoneEvent")
SETTLE = taken("docs/polling.md", "python", "def settle")
FAIR = taken("docs/dispatchers.md", "python", "# actors/demand/fair.py")
OPTION = taken("CONTRIBUTING.md", "python", "    poll_jobs")


class Shell:
    """A terminal in which what the docs show is typed."""

    def __init__(self, directory: Path, systems: Systems, modules: Path) -> None:
        self.directory = directory
        self.systems = systems
        self.env = systems.env
        self.env["PYTHONPATH"] = f"{modules}:{self.env['PYTHONPATH']}"
        programs = directory / "bin"
        programs.mkdir()
        for name, words in (("python", ""), ("lowtide", "-m actors.main ")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
            program.chmod(0o755)
        self.env["PATH"] = f"{programs}:{os.environ['PATH']}"

    def at(self, system: System) -> None:
        """Type what follows for this system."""
        self.env["LOWTIDE_PORT"] = str(system.port)

    def type(self, command: Command) -> str:
        """Run a command; what it prints has to be what is shown."""
        done = subprocess.run(
            ["bash", "-c", command.line],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        told = (
            f"{command.line}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
        assert done.returncode == 0, told
        if command.output:
            assert shows(command.output, done.stdout), told
        return done.stdout

    def type_all(self, block: Block, *, but: tuple[str, ...] = ()) -> None:
        """Run the commands of a block, one after another.

        Args:
            block: Of a console.
            but: Beginnings of those that are left out.
        """
        for command in commands(block):
            if not command.line.startswith(but):
                self.type(command)


@pytest.fixture
def shell(tmp_path: Path, systems: Systems, modules: Path) -> Shell:
    return Shell(tmp_path, systems, modules)


@pytest.fixture
def start_shown(
    shell: Shell, start_system: Callable[..., System]
) -> Callable[..., System]:
    """Start the system that a command shows, but for its port."""

    def start(command: Command, *more: str) -> System:
        [words] = command.parts
        assert words[:3] == ["python", "-m", "actors.main"]
        system = start_system(*words[3:], *more)
        shell.at(system)
        return system

    return start


class Bills:
    """An API that hands out a bill at a time, or a page of them."""

    def __init__(self, *bills: Any) -> None:
        waiting = deque(bills)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = "limit" in self.path or "after" in self.path
                jobs = [waiting.popleft() for _ in list(waiting)[: None if page else 1]]
                body = json.dumps(jobs if page else jobs[0]) if page or jobs else ""
                self.send_response(200 if body else 204)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Keep standard error for what fails."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve_bills() -> Iterator[Callable[..., Bills]]:
    serving: list[Bills] = []

    def serve(*bills: Any) -> Bills:
        serving.append(Bills(*bills))
        return serving[-1]

    yield serve
    for each in serving:
        each.close()


def names_of(block: Block) -> dict[str, Any]:
    """What a Python block defines."""
    names: dict[str, Any] = {"__name__": "shown"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102
    return names


@pytest.mark.system
@pytest.mark.timeout(600)
def test_the_main_job_and_the_commands_for_it(shell: Shell, systems: Systems) -> None:
    shell.env["LOWTIDE_LOG_FORMAT"] = "console"
    shell.env["LOWTIDE_PORT"] = "0"
    system = start_main_job(systems)
    shell.at(system)
    try:
        for line in LOG.text.splitlines():
            wait_until(
                lambda line=line: any(  # type: ignore[misc]
                    shows((line,), f"{each}\n") for each in system.program.lines
                ),
                line,
            )
        shell.type_all(SEEING, but=("lowtide top", "lowtide run"))
        shell.type(Command("lowtide resume"))
        shell.type_all(MORE)
        assert system.wait() == 0
    finally:
        assert systems.close() == set()


def start_main_job(systems: Systems) -> System:
    """Start what ``scripts/run`` starts."""
    port = free_port()
    words = ("-m", "actors.main", "--port", str(port))
    system = System(Program(*words, env=systems.env), port, systems.env)
    systems.started.append(system)
    return system


@pytest.mark.system
def test_jobs_of_ones_own(
    shell: Shell,
    start_shown: Callable[..., System],
    serve_bills: Callable[..., Bills],
) -> None:
    bills = serve_bills({"id": 16, "amounts": [2, 3]}, {"id": 17, "amounts": None})
    [command] = commands(BILL)
    assert "https://billing.example" in command.line
    here = Command(command.line.replace("https://billing.example", bills.url))

    system = start_shown(here, "--retries", "1", "--every", "0.1")

    [done] = system.wait_for("job.done")
    assert done["result"] == {"invoice": 16, "total": 5}
    system.wait_for("job.quarantined")
    shell.type_all(JOBS, but=("scripts/",))
    system.wait_for("job.quarantined", count=2)


@pytest.mark.system
@pytest.mark.parametrize("beside", [False, True], ids=["run", "start"])
def test_a_program_of_ones_own(
    shell: Shell, serve_bills: Callable[..., Bills], *, beside: bool
) -> None:
    bills = serve_bills({"id": 1, "amounts": [2, 3]})
    assert "https://billing.example" in PROGRAM.text
    path = shell.directory / "program.py"
    text = PROGRAM.text.replace("https://billing.example", bills.url)
    if beside:
        run = "raise SystemExit(pipeline.run())"
        assert run in text
        text = BESIDE.text + text.replace(run, "bills_are_paid(pipeline)")
    path.write_text(text)
    env = {
        "LOWTIDE_PORT": "0",
        "LOWTIDE_LOG_FORMAT": "json",
        "LOWTIDE_EVERY": "0.1",
        "LOWTIDE_UNTIL_IDLE": "0.5",
    }

    program = Program(str(path), env=shell.env | env)

    try:
        assert program.wait() == 0
        [done] = program.all_of("job.done")
        assert done["result"] == {"invoice": 1, "total": 5}
    finally:
        program.close()


def test_the_readme_shows_what_is_run() -> None:
    assert [each.text for each in SHORT] == [BILLING.text, BILL.text]


def test_a_page_of_jobs(serve_bills: Callable[..., Bills]) -> None:
    bills = serve_bills(*({"id": n, "amounts": [n]} for n in range(3)))
    billing = names_of(BILLING)
    page = names_of(PAGE)
    page["requests"] = requests

    with Harness(page["fetch"], billing["process"], options={"url": bills.url}) as line:
        line.run_until_idle()

    assert [each["total"] for each in line.results] == [0, 1, 2]


@pytest.mark.parametrize("block", STATES, ids=str)
def test_a_state_that_is_kept_with_the_jobs(block: Block) -> None:
    asked = []

    class Answer:
        def __init__(self, after: int | None) -> None:
            self.first = 1 + (after or 0)

        def json(self) -> Any:
            events = [{"id": n} for n in range(self.first, min(self.first + 2, 6))]
            return {"events": events, "last_id": self.first - 1 + len(events)}

    class Requests:
        @staticmethod
        def get(url: str, params: dict[str, Any], timeout: float) -> Answer:
            asked.append((url, params["after"], timeout))
            return Answer(params["after"])

    names = names_of(block)
    names["requests"] = Requests

    with Harness(names["fetch"], options={"url": "http://h"}) as line:
        line.run_until_idle()
        assert [each["id"] for each in line.results] == [1, 2, 3, 4, 5]

    assert asked[:3] == [("http://h", None, 5), ("http://h", 2, 5), ("http://h", 4, 5)]


def test_a_job_says_how_far_it_is() -> None:
    with Harness(process=names_of(PAGES)["process"], processors=1) as pipeline:
        pipeline.push([{"id": 1}])
        pipeline.advance(5.0)

        [processor] = pipeline.status()["processors"]
        [line] = processor["progress"]
        assert line["id"] == 1
        page = int(line["text"].removeprefix("page ").removesuffix(" of 10"))
        assert 3 <= page <= 5
        assert line["fraction"] == page / 10


def test_a_fetch_says_when_to_ask_next() -> None:
    asked = []

    class Answer:
        headers: ClassVar = {"X-Poll-Interval": "40"}

        def json(self) -> None:
            return None

    class Requests:
        @staticmethod
        def get(url: str, timeout: float) -> Answer:
            asked.append((url, timeout))
            return Answer()

    names = names_of(NEXT_POLL)
    names["requests"] = Requests

    with Harness(names["fetch"], options={"url": "http://h"}) as line:
        line.advance(90)

    assert asked == [("http://h", 5)] * 3


@pytest.mark.system
def test_a_pipeline_of_steps(
    shell: Shell, start_shown: Callable[..., System], start_numbers: Callable[..., Any]
) -> None:
    [first, second, run] = commands(RUN_PIPELINE)
    config = PIPELINE.text
    servers = {}
    for name, typed in (("north", first), ("south", second)):
        [words] = typed.parts
        port = words[words.index("--port") + 1]
        assert words[:2] == ["python", "number_server.py"]
        assert f"http://127.0.0.1:{port}" in config
        servers[name] = start_numbers("--every", "0")
        config = config.replace(f"http://127.0.0.1:{port}", servers[name].url)
    file = shell.directory / PIPELINE.name
    file.write_text(config)
    servers["north"].add(4, 9)
    servers["south"].add(16)

    here = Command(run.line.replace(PIPELINE.name, str(file)))
    system = start_shown(here, "--until-idle", "1.5")

    assert system.wait() == 0
    done = {(each["fetcher"], each["result"]) for each in system.all_of("job.done")}
    assert done == {
        ("north", "the root is 2"),
        ("north", "the root is 3"),
        ("south", "the root is 4"),
    }


#: What the docs' manual processors take from: sources that have nothing.
QUIET = """\
[[fetcher]]
name = "north"
fetch = "quiet:fetch"
[[fetcher]]
name = "south"
fetch = "quiet:fetch"
"""
CLOCK = '[[processor]]\nname = "clock"\nprocess = "letters:send"\n'


@pytest.mark.system
def test_manual_demand(
    shell: Shell, modules: Path, start_system: Callable[..., System]
) -> None:
    (modules / "quiet.py").write_text("def fetch(): ...\n")
    file = shell.directory / "letters.toml"
    file.write_text(f"{QUIET}{MANUAL.text}{CLOCK}{BY_CLOCK.text}")
    system = start_system("--config", str(file))
    shell.at(system)

    shell.type_all(ASK)
    shell.type_all(WAIT)

    def demand() -> dict[str, int]:
        return {each["name"]: each["demand"] for each in system.status()["processors"]}

    # 10 of each source, of each process of its kind.
    clock = {"clock-1": 20, "clock-2": 20}
    wait_until(lambda: demand().items() >= clock.items(), "the function's demand")
    assert demand()["send-2"] == 2 * 25


def test_a_source_is_told_what_became_of_its_jobs() -> None:
    names = names_of(SETTLE)
    told = []

    def settle(job: Any, outcome: Any, /, **options: Any) -> None:
        names["settle"](job, outcome, **options)
        told.append((job, outcome, options))

    with Harness(settle=settle, options={"job": "data.order"}) as line:
        line.push([{"id": 7}])
        line.run_until_idle()

    outcome = {"state": "done", "result": {"id": 7}}
    assert told == [({"id": 7}, outcome, {"job": "data.order"})]


def test_a_hook_is_called_with_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = names_of(TELLING)

    names["keep"]({"event": "done", "job_id": 1})

    told = (tmp_path / "audit.jsonl").read_text()
    assert json.loads(told) == {"event": "done", "job_id": 1}


@pytest.mark.system
def test_a_callback_is_called_in_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names: dict[str, Any] = {}
    exec(COUNTING.text, names)  # noqa: S102 - what the docs show
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("LOWTIDE_PORT", "0")
    monkeypatch.setenv("LOWTIDE_JOURNAL", "none")
    monkeypatch.setenv("LOWTIDE_UNTIL_IDLE", "0.5")
    stages = [Fetcher(two_bills), Processor(bill)]

    assert sorted(names["run_counting"](stages)) == [1, 2]


_bills = [{"id": 1}, {"id": 2}]


def two_bills() -> Any:
    return _bills.pop() if _bills else None


def bill(job: Any) -> Any:
    return job["id"]


@pytest.mark.system
def test_the_tests_pass(modules: Path) -> None:
    files = []
    for number, block in enumerate(TESTS):
        files.append(modules / f"test_shown_{number}.py")
        files[-1].write_text(block.text)

    # As where none of this project's settings are.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=modules,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


#: What a schedule may hold. Which of it the seed draws changes with the code.
TROUBLES = re.compile(
    r"(\S+ (died at [\w.]+|was (killed|detached)|hung for [\d.]+ s)"
    r"|a \S+ was attached|.* were cut off for .* s|the disk was full for .* s"
    r"|(retry|discard) of .* quarantined jobs|healed)"
)


@pytest.mark.system
def test_options_are_checked_at_the_start(shell: Shell, modules: Path) -> None:
    (modules / "sized.py").write_text(f"def fetch(size): ...\n\n{CHECKED.text}")
    file = shell.directory / "sized.toml"
    table = '[[fetcher]]\nname = "a"\nfetch = "sized:fetch"\n'
    file.write_text(f"{table}options = {{ size = 0 }}\n")

    with pytest.raises(AssertionError, match=r"sized.toml:4: .*expected 1 or more"):
        shell.type(Command(f"lowtide check --config {file}"))
    file.write_text(f"{table}options = {{ size = 1 }}\n")
    shell.type(Command(f"lowtide check --config {file}"))


def test_what_simulate_says(shell: Shell) -> None:
    [command] = commands(SIMULATE)
    cut = command.output.index("...")
    troubles, account = command.output[:cut], command.output[cut:]

    said = shell.type(Command(command.line, account)).splitlines()

    assert all(TROUBLES.fullmatch(each) for each in (*troubles, *said[:-3]))


def test_the_fourth_dispatcher_sends_to_who_was_served_least() -> None:
    dispatcher = names_of(FAIR)["FairDispatcher"]()
    for name, demand in (("a", 3), ("b", 2), ("c", 0)):
        dispatcher.subscribe(name)
        dispatcher.ask(name, demand)
    buffer: Buffer[int] = Buffer(10)
    buffer.store(range(7))

    limited = dispatcher.dispatch(buffer, most=3)
    rest = dispatcher.dispatch(buffer)
    dispatcher.cancel("a")

    assert limited == [("a", (0,)), ("b", (1,)), ("a", (2,))]
    assert rest == [("b", (3,)), ("a", (4,))]
    assert (len(buffer), dispatcher.demand) == (2, 0)

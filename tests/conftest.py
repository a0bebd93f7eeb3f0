"""What all tests share: real systems, number servers, and where their jobs are."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from actors.testing.processes import Program, System, Systems
    from tests.support.hosts import Network
    from tests.support.postgres import Pool, Server

# Images of containers set it; hundreds of processes would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The tests of the domain run where there are no actors: what uses those imports
# them where it needs them, and the plugin is named here, not found by itself.
try:
    import actors.testing  # noqa: F401
except ImportError:
    pass
else:
    pytest_plugins = ["actors.testing.plugin"]

SUPPORT = Path(__file__).parent / "support"
ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Let Ctrl-C mean something to whatever is started from here.

    A shell has it ignored by what it starts in the background, and whoever is
    started so passes that on.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says how busy the machine is, and no more. What CI says
# of a change is about the change: new examples are looked for everywhere else.
settings.register_profile(
    "patient",
    settings.default,
    deadline=None,
    # As often as scripts/check has it, as tests.support.repetitions: where the domain
    # is tested by itself, that is not there.
    max_examples=100 if os.environ.get("TEST_SLOW") else 40,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


#: Where tests over processes are hard: each takes seconds of a core, and all of them
#: more than one waits for who wants to know whether a change is a good one.
HARD = (
    *("faults/", "user_code/", "journal/", "packaging/", "web/", "docs/test_tutorial"),
    *("system/test_bench.py", "system/test_broken_places.py"),
    *("system/test_compare_strategies.py", "system/test_dispatching.py"),
    *("system/test_faulty_source.py", "system/test_hooks.py"),
    *("system/test_leases.py", "system/test_long_messages.py"),
    *("system/test_manual.py", "system/test_otel.py", "system/test_pipelines.py"),
    *("system/test_postgres.py", "system/test_progress.py", "system/test_service.py"),
    *("system/test_slow_imports.py", "system/test_top.py"),
    *("system/test_user_files.py", "system/test_web.py", "system/test_windows.py"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits, fill up with what is short, and say what is hard.

    Side by side, the last test to begin is the last to end: it should not be long.
    """
    for item in items:
        place = item.nodeid.removeprefix("tests/")
        if place.startswith(HARD) and item.get_closest_marker("system"):
            item.add_marker("hard")
        in_a_file = item.config.getoption("--journal") == "sqlite"
        if item.get_closest_marker("file") and not in_a_file:
            item.add_marker(pytest.mark.skip("it is of a journal in a file"))
    items.sort(key=lambda each: each.get_closest_marker("system") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--journal",
        choices=("sqlite", "postgresql", "pgbouncer"),
        default="sqlite",
        help="what systems and simulations keep their jobs in where a test says "
        "nothing; postgresql starts a server, pgbouncer one behind a pool",
    )
    parser.addoption(
        "--max-demand",
        metavar="N|auto",
        help="of processors for which a test sets none, instead of the default (1)",
    )
    parser.addoption(
        "--concurrency",
        metavar="N",
        help="likewise: how many jobs a processor runs at the same time",
    )
    parser.addoption(
        "--as-async",
        action="store_true",
        help="the conformance suite's job functions are async",
    )


class Numbers:
    """A number server, and what it says that it did."""

    def __init__(self, program: Program) -> None:
        self.program = program
        assert program.process.stdout is not None
        self.url = program.process.stdout.readline().split()[-1]

    def account(self) -> dict[str, Any]:
        """What was generated, what waits, and which ids were served."""
        answer: dict[str, Any] = requests.get(f"{self.url}/account", timeout=30).json()
        return answer

    def add(self, *numbers: float) -> None:
        """Put numbers into its queue."""
        requests.post(f"{self.url}/numbers", json=list(numbers), timeout=30)


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait, with a deadline, until a condition holds; see ``wait_until``."""
    from actors.testing.processes import wait_until  # noqa: PLC0415

    return wait_until


@pytest.fixture
def systems(
    tmp_path: Path, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[Systems]:
    """What starts systems; nothing of them outlives the test."""
    from actors.testing.processes import Systems  # noqa: PLC0415

    systems = Systems(tmp_path, [ROOT, SUPPORT])
    systems.env["TEST_EFFECTS"] = str(tmp_path / "effects")
    if (max_demand := pytestconfig.getoption("--max-demand")) is not None:
        systems.env["LOWTIDE_MAX_DEMAND"] = max_demand
    if (concurrency := pytestconfig.getoption("--concurrency")) is not None:
        systems.env["LOWTIDE_CONCURRENCY"] = concurrency
    if pytestconfig.getoption("--journal") != "sqlite":
        chosen = request.getfixturevalue("chosen_server")
        systems.env["LOWTIDE_JOURNAL"] = chosen.empty("systems")
    yield systems
    left = systems.close()
    request.node.add_report_section("teardown", "system log", systems.log())
    assert not left, f"processes left over: {left}"


@pytest.fixture(scope="session")
def chosen_server(pytestconfig: pytest.Config) -> Iterator[Server | Pool]:
    """What ``--journal postgresql`` starts, or ``--journal pgbouncer``."""
    from actors.host.ports import free_port  # noqa: PLC0415
    from tests.support.postgres import pool_or_skip, server_or_skip  # noqa: PLC0415

    with ExitStack() as stack:
        server = server_or_skip(free_port())
        stack.callback(server.remove)
        if pytestconfig.getoption("--journal") == "postgresql":
            yield server
            return
        pool = pool_or_skip(server, free_port())
        stack.callback(pool.close)
        yield pool


@pytest.fixture(autouse=True, scope="session")
def _worlds_over_the_chosen_store(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have simulations keep their jobs where ``--journal`` says."""
    if request.config.getoption("--journal") == "sqlite":
        yield
        return
    from tests.support.virtual_postgres import worlds_over  # noqa: PLC0415

    with (
        pytest.MonkeyPatch.context() as patched,
        worlds_over(request.getfixturevalue("chosen_server"), patched),
    ):
        yield


@pytest.fixture
def join_system(systems: Systems) -> Callable[..., System]:
    """Start what joins a system; nothing of it outlives the test."""
    return systems.join


@pytest.fixture
def network() -> Iterator[Network]:
    """Hosts to run systems on."""
    from tests.support.hosts import Network, NotPossibleError  # noqa: PLC0415

    try:
        network = Network()
    except NotPossibleError as error:
        pytest.skip(f"no other hosts here: {error}")
    yield network
    network.close()


@pytest.fixture
def env(systems: Systems) -> dict[str, str]:
    """An environment with nothing of ours but a state directory and a mark."""
    return systems.env


@pytest.fixture
def runs(env: dict[str, str]) -> Callable[[], dict[int, int]]:
    """How often each job was begun, of functions that note it."""

    def count() -> dict[int, int]:
        effects = Path(env["TEST_EFFECTS"])
        lines = effects.read_text().splitlines() if effects.exists() else []
        return dict(Counter(int(line.split()[0]) for line in lines))

    return count


@pytest.fixture
def all_ask(eventually: Callable[..., Any]) -> Callable[[Any, int], None]:
    """Wait until so many processors ask for jobs.

    One that is there has not asked yet, and what comes meanwhile goes to others.
    """

    def wait(system: Any, count: int) -> None:
        def enough() -> bool:
            processors = system.status()["processors"]
            return sum(bool(each["demand"]) for each in processors) >= count

        eventually(enough, f"{count} processors that ask")

    return wait


@pytest.fixture
def switch(env: dict[str, str], tmp_path: Path) -> Path:
    """A file that job functions wait for, until the test makes it."""
    path = tmp_path / "switch"
    env["SWITCH"] = str(path)
    return path


@pytest.fixture
def start_numbers(env: dict[str, str]) -> Iterator[Callable[..., Numbers]]:
    """Start number servers; they end with the test."""
    from actors.testing.processes import Program  # noqa: PLC0415

    programs = []

    def start(*words: str) -> Numbers:
        plain = {key: each for key, each in env.items() if "MARK" not in key}
        program = Program("-m", "number_server", "--port", "0", *words, env=plain)
        programs.append(program)
        return Numbers(program)

    yield start
    for program in programs:
        program.close()


@pytest.fixture
def start_system(systems: Systems) -> Callable[..., System]:
    """Start systems, each on a port of its own; nothing of them outlives the test."""
    return systems.start


@pytest.fixture(autouse=True, scope="session")
def _every_status_is_as_the_docs_say() -> Iterator[None]:
    """Hold each status that a test asks for against the schema in the docs."""
    try:
        from actors.testing import Harness  # noqa: PLC0415 - see above
        from actors.testing.processes import System  # noqa: PLC0415
    except ImportError:
        yield
        return
    from tests.support.schema import mistakes  # noqa: PLC0415 - likewise

    text = (ROOT / "docs" / "schemas" / "status.schema.json").read_text()
    schema = json.loads(text)

    def checked(status: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any, **more: Any) -> Any:
            answer = status(*arguments, **more)
            assert mistakes(answer, schema) == []
            return answer

        return ask

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Harness, "status", checked(Harness.status))
        patched.setattr(System, "status", checked(System.status))
        yield

"""Row 45 of the fault matrix: who is not of the system, and tries to get in.

Another user of this machine, for whom the kernel closes it; and this user, or root,
who could do anything anyway and still has to find bounds.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.actor_system.stream import framed
from actors.host.frames import MAX_FRAME
from actors.host.ports import free_port
from actors.testing.processes import wait_until
from tests.actor_system.test_connections import greeting
from tests.support.listening import listening

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]

#: Somebody who owns nothing here.
STRANGER = 65533


class Deadly:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def directory_of(system: Any) -> Path:
    """Where its sockets are."""
    return Path(system.env["LOWTIDE_STATE_DIR"]) / f"{system.port}.actors"


def ends_of(system: Any) -> list[Path]:
    """The sockets of its processes."""
    return sorted(each for each in directory_of(system).iterdir() if each.is_socket())


def dial(path: Path) -> socket.socket:
    """Connect, as a process of the same user may."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    directory = os.open(path.parent, os.O_PATH)
    try:
        made.connect(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
    return made


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def as_stranger(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program as another user of this machine."""
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0 or setpriv is None:
        pytest.skip("another user is played by setpriv(1), which takes root")
    user = [f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    return subprocess.run(
        [setpriv, *user, "/usr/bin/env", "python3", "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def opened(*directories: Path) -> Iterator[None]:
    """Let everybody enter these."""
    modes = {each: each.stat().st_mode for each in directories if each != Path("/")}
    try:
        for each, mode in modes.items():
            each.chmod(mode | 0o755)
        yield
    finally:
        for each, mode in modes.items():
            each.chmod(mode)


@pytest.fixture
def on_a_common_path(systems: Any) -> Iterator[None]:
    """Have the state where everybody may come, but for what is its owner's.

    The tests' own directory is closed: each pytest that starts sees to that, and would
    close it again in the middle of a test that has opened it.
    """
    with tempfile.TemporaryDirectory(prefix="lowtide-") as directory:
        systems.env["LOWTIDE_STATE_DIR"] = f"{directory}/state"
        yield
        systems.close()


@contextlib.contextmanager
def shortened(path: Path) -> Iterator[Path]:
    """A link to a directory, for those who know no better way to a long one."""
    link = Path(tempfile.gettempdir()) / f"lowtide-link-{os.getpid()}"
    link.symlink_to(path)
    try:
        yield link
    finally:
        link.unlink()


def works_on(system: Any, numbers: Any, account: Take) -> None:
    """Make sure that nothing has happened to it."""
    before = len(system.all_of("job.done"))
    numbers.add(16.0, 25.0)
    system.wait_for("job.done", count=before + 2)
    taken = account(numbers, system)
    assert (taken.lost, taken.unexpected, taken.duplicated) == ((), (), 0)
    assert system.all_of("stage.exited") == []


def test_45_nothing_listens_but_sockets_in_a_directory_of_its_owners(
    start_numbers: Start, start_system: Start
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=2)
    directory = directory_of(system)

    names = {each.name for each in ends_of(system)}
    table = Path("/proc/net/unix").read_text().splitlines()
    here = [line.split()[-1] for line in table if str(directory) in line]
    bound = {Path(each).name for each in here}

    assert listening(system.pids()) == set()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert len(names) == 6  # main, admin, root, fetcher, two processors
    # A path that is too long for an address is not told in full by the kernel.
    assert bound == {each for each in names if len(bytes(directory / each)) < 108}


def test_45_a_page_is_the_only_port(start_numbers: Start, start_system: Start) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    port = free_port()
    system = start_system("--url", numbers.url, "--web", str(port))
    system.wait_for("job.done", count=2)

    assert listening(system.pids()) == {("127.0.0.1", port)}


ATTACK = """
import os, socket, sys
denied = 0
for name in sys.argv[2:]:
    for path in (f"{sys.argv[1]}/{name}", f"/proc/{name}/cwd"):
        try:
            one = socket.socket(socket.AF_UNIX)
            one.connect(path)
        except (PermissionError, FileNotFoundError):
            denied += 1
            continue
        print("connected to", path)
for act in (os.listdir, os.chdir, lambda d: os.unlink(f"{d}/{sys.argv[2]}"),
            lambda d: open(f"{d}/mine", "w"), os.rmdir):
    try:
        act(sys.argv[1])
    except PermissionError:
        denied += 1
    else:
        print("done:", act)
print(denied)
"""


@pytest.mark.usefixtures("on_a_common_path")
def test_45_another_user_can_neither_connect_nor_look_nor_fill(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=2)
    names = [each.name for each in ends_of(system)]

    # All above it open, it is its own door.
    with (
        opened(*directory_of(system).parents),
        shortened(directory_of(system)) as short,
    ):
        done = as_stranger(ATTACK, str(short), *names)

    assert done.stdout.split("\n") == [str(2 * len(names) + 5), ""], done.stderr
    works_on(system, numbers, account)


KNOCK = """
import socket, sys
denied = 0
for path in sys.argv[1:]:
    for _ in range(200):
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(20)
        one.connect(path)
        try:
            one.sendall(b"lowtide" + bytes([1]) + b"root".ljust(40, bytes(1)))
            denied += one.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            denied += 1
print(denied)
"""


@pytest.mark.usefixtures("on_a_common_path")
def test_45_another_user_who_gets_to_the_socket_is_hung_up_on_before_a_byte_is_read(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=2)
    ends = [each for each in ends_of(system) if each.name.startswith(("Root", "Fetch"))]
    for each in ends:
        each.chmod(0o777)

    # As if its owner had opened the directory: who connects is looked at all the same.
    with (
        opened(directory_of(system), *directory_of(system).parents),
        shortened(directory_of(system)) as short,
    ):
        done = as_stranger(KNOCK, *(str(short / each.name) for each in ends))

    assert done.stdout == f"{200 * len(ends)}\n", done.stderr
    told = system.wait_for("frame.refused", count=len(ends))
    assert {each["reason"] for each in told} == {"another user's"}
    assert len(told) == len(ends)
    works_on(system, numbers, account)


def test_45_a_thousand_silent_connections_to_each_end_nothing(
    start_numbers: Start, start_system: Start, account: Take
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=2)
    before = {pid: memory(pid) for pid in system.pids()}

    with contextlib.ExitStack() as stack:
        ends = [e for e in ends_of(system) if not e.name.startswith("main")]
        for path in ends:
            for _ in range(1000):
                stack.enter_context(dial(path)).send(b"low")
        works_on(system, numbers, account)
        grown = {pid: memory(pid) - each for pid, each in before.items()}

    assert max(grown.values()) < 8_000_000
    told = system.wait_for("frame.refused", count=len(ends), reason="said nothing")
    assert len(told) == len(ends)


def test_45_what_is_half_sent_or_forged_costs_bounded_memory_and_changes_nothing(
    start_numbers: Start, start_system: Start, account: Take, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    system = start_system("--url", numbers.url)
    system.wait_for("job.done", count=2)
    before = {pid: memory(pid) for pid in system.pids()}
    path = tmp_path / "ran"
    half = MAX_FRAME.to_bytes(4) + b"x" * 100_000
    strange = (
        greeting("me") + framed(pickle.dumps(Deadly(path))),
        greeting("me") + framed(b"garbage") * 100,
        greeting("me") + (MAX_FRAME + 1).to_bytes(4),
        (MAX_FRAME).to_bytes(4) + b"x" * 1_000_000,
        b"10000000000>" + b"x" * 1_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    )

    with contextlib.ExitStack() as stack:
        ends = [e for e in ends_of(system) if not e.name.startswith("main")]
        for end in ends:
            for each in strange * 20:
                with contextlib.suppress(OSError):
                    stack.enter_context(dial(end)).sendall(each)
            for _ in range(120):  # half a frame on each, before it has a name
                with contextlib.suppress(OSError):
                    stack.enter_context(dial(end)).sendall(half)
        works_on(system, numbers, account)
        grown = {pid: memory(pid) - each for pid, each in before.items()}

    assert not path.exists()
    assert max(grown.values()) < 8_000_000
    reasons = {
        *("holds what no message of ours holds", "no frame", "too long"),
    }
    told = system.wait_for("frame.refused", count=len(ends) * len(reasons))
    assert {each["reason"] for each in told} == reasons
    # Each is told once by each process, whatever the number.
    assert len(told) == len(ends) * len(reasons)


def test_45_what_was_for_a_dead_process_reaches_nobody_and_its_name_is_gone(
    start_numbers: Start, start_system: Start, settle: Take
) -> None:
    numbers = start_numbers("--preload", "6", "--every", "0")
    system = start_system(
        *("--url", numbers.url, "--process", "jobs:nap", "--processors", "2"),
    )
    [victim] = system.wait_for("processor.attached", processor="processor-1")
    system.wait_for("job.done", count=2)
    its = [end for end in ends_of(system) if end.name.startswith("Processor")]

    os.kill(victim["pid"], signal.SIGKILL)
    system.wait_for("processor.attached", count=2, processor="processor-1")

    [gone] = wait_until(
        lambda: [end for end in its if not end.exists()], "its name is gone"
    )
    # Whoever takes the name is sent nothing: it was given once.
    with socket.socket(socket.AF_UNIX) as heir:
        directory = os.open(gone.parent, os.O_PATH)
        heir.bind(f"/proc/self/fd/{directory}/{gone.name}")
        os.close(directory)
        heir.listen(16)
        heir.settimeout(2)
        numbers.add(*range(6))
        system.wait_for("job.done", count=12)
        with pytest.raises(TimeoutError):
            heir.accept()
    taken = settle(numbers, system)
    assert (taken.lost, taken.unexpected) == ((), ())


def test_45_sockets_of_systems_that_were_killed_are_removed_by_the_next(
    start_system: Start,
) -> None:
    dead = start_system("--url", "http://127.0.0.1:9", "--journal", "none")
    living = start_system("--url", "http://127.0.0.1:9", "--journal", "none")
    dead.signal(signal.SIGKILL)
    dead.wait()
    assert ends_of(dead)

    last = start_system("--url", "http://127.0.0.1:9", "--journal", "none")

    assert not directory_of(dead).exists()
    assert ends_of(living)
    assert ends_of(last)
    last.signal(signal.SIGTERM)
    assert last.wait() == 0
    assert not directory_of(last).exists()


def test_45_a_state_directory_of_any_length_will_do(
    start_numbers: Start, systems: Any, tmp_path: Path
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    systems.env["LOWTIDE_STATE_DIR"] = str(tmp_path / ("x" * 200) / ("y" * 100))

    system = systems.start("--url", numbers.url)

    system.wait_for("job.done", count=2)
    assert system.command("status")[0] == 0

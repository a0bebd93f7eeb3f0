"""A stage's environment: functions by name, worker, control socket, lock."""

from __future__ import annotations

import functools
import json
import math
import os
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from actors.actor_system.worker import Worker
from actors.host import file_lock
from actors.host.control_socket import (
    MAX_REQUEST,
    ControlServer,
    NoAnswerError,
    NotRunningError,
    Orders,
    Request,
    ask,
)
from actors.host.removals import LOOK_S
from actors.host.state_dir import (
    AlreadyRunningError,
    StateDirError,
    SystemFiles,
    state_dir,
)
from actors.user_code.functions import FunctionError, check_call, load


def test_a_function_is_found_by_its_name() -> None:
    assert load("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("json", "expected MODULE:FUNCTION"),
        (":dumps", "expected MODULE:FUNCTION"),
        ("no.such.module:f", "cannot import module 'no.such.module'"),
        ("json:nothing", "'nothing' is not there in module 'json'"),
        ("math:pi", "'pi' is no function in module 'math'"),
    ],
)
def test_a_name_that_leads_nowhere_is_said(name: str, complaint: str) -> None:
    with pytest.raises(FunctionError, match=complaint):
        load(name)


def taken(worker: Worker, count: int) -> list[Any]:
    got: list[Any] = []
    while len(got) < count:
        ready, _, _ = select.select([worker.fd], [], [], 30.0)
        assert ready, f"only {got}"
        got += worker.take()
    return got


def said(error: BaseException) -> Iterator[str]:
    yield repr(error)


def test_a_worker_yields_in_order_and_wakes_its_stage() -> None:
    worker = Worker("test")

    worker.call(lambda: iter([1, 2]), said)
    worker.call(lambda: iter([3]), said)

    assert taken(worker, 3) == [1, 2, 3]
    assert worker.take() == []
    worker.stop()


def test_a_worker_yields_while_its_call_still_runs() -> None:
    worker = Worker("test")
    go_on = threading.Event()

    def steps() -> Iterator[int]:
        yield 1
        assert go_on.wait(30.0)
        yield 2

    worker.call(steps, said)

    assert taken(worker, 1) == [1]
    go_on.set()
    assert taken(worker, 1) == [2]
    worker.stop()


def broken(value: Any) -> Iterator[Any]:
    yield value
    raise SystemExit


def test_a_call_that_raises_has_its_last_word_and_the_next_is_run() -> None:
    worker = Worker("test")
    words = iter([2, 3])

    def failed(error: BaseException) -> Iterator[Any]:
        # What is said of a failure may fail as well; then that is asked for it.
        word = next(words)
        return broken(word) if word == 2 else iter([word, type(error)])

    worker.call(lambda: broken(1), failed)
    worker.call(lambda: iter([4]), said)

    assert taken(worker, 5) == [1, 2, 3, SystemExit, 4]
    worker.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ControlServer]:
    server = ControlServer(tmp_path / "control.sock")
    server.tick(0.0)
    yield server
    server.close()


def fetch(url: str, wait_s: float = 0.0) -> None:
    """As a user would write it."""


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*words: Any, **options: Any) -> Any:
        return function(object(), *words, **options)

    return wrapped


@with_session
def fetch_with(session: object, url: str) -> None:
    """Gets its first argument from the decorator."""


def test_a_function_that_can_be_called_so_passes() -> None:
    check_call(fetch, "m:fetch", options=["url"])
    check_call(fetch, "m:fetch", options=["url", "wait_s"])
    check_call(fetch_with, "m:fetch_with", options=["url"])
    check_call(math.sqrt, "math:sqrt", "job")
    check_call(functools.partial(fetch, "u"), "m:partial", options=["wait_s"])
    check_call(dict, "builtins:dict", "job")


@pytest.mark.parametrize(
    ("words", "options", "complaint"),
    [
        ((), (), r"called as fetch\(\): missing a required argument: 'url'"),
        ((), ("url", "x"), r"fetch\(url=..., x=...\): got an unexpected .* 'x'"),
        (("a", "b", "c"), (), r"fetch\(a, b, c\): too many positional arguments"),
    ],
)
def test_a_function_that_takes_other_arguments_is_refused(
    words: tuple[str, ...], options: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(FunctionError, match=complaint):
        check_call(fetch, "m:fetch", *words, options=options)


def settle(job: Any, outcome: Any, **options: Any) -> None:
    """As a user would write it who knows of no slash."""


def settle_apart(job: Any, outcome: Any, /, **options: Any) -> None:
    """As the docs show it."""


def test_an_option_may_have_the_name_of_a_parameter_by_place_only() -> None:
    words = ("job", "outcome")

    check_call(settle_apart, "m:settle_apart", *words, options=["job", "outcome"])
    with pytest.raises(FunctionError) as refused:
        check_call(settle, "m:settle", *words, options=["url", "outcome"])

    assert str(refused.value) == (
        "'m:settle' is called as settle(job, outcome, url=..., outcome=...): its "
        "parameter 'outcome' cannot be an option as well; rename one of them, or put "
        "a slash behind (job, outcome, /, ...)"
    )


def serve(server: ControlServer, count: int = 1) -> list[Request]:
    requests: list[Request] = []
    while len(requests) < count:
        ready, _, _ = select.select(server.fds, [], [], 30.0)
        assert ready, "no request"
        found = [server.ready(fd) for fd in ready]
        requests += [each for each in found if each is not None]
    return requests


def in_thread(function: Any, *words: Any) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function(*words))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_a_command_is_answered(server: ControlServer) -> None:
    thread, answers = in_thread(ask, server.path, {"verb": "status"}, 30.0)

    [request] = serve(server)
    request.answer({"state": "running"})

    thread.join(30.0)
    assert request.command == {"verb": "status"}
    assert answers == [{"state": "running"}]
    assert server.path.stat().st_mode & 0o777 == 0o600


def test_two_commands_at_once_get_each_their_own_answer(server: ControlServer) -> None:
    asking = [in_thread(ask, server.path, {"n": n}, 30.0) for n in range(8)]

    for request in reversed(serve(server, 8)):
        request.answer({"echo": request.command["n"]})

    for number, (thread, answers) in enumerate(asking):
        thread.join(30.0)
        assert answers == [{"echo": number}]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"x" * (MAX_REQUEST + 9)])
def test_what_is_no_command_is_refused(server: ControlServer, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.path))
        sender, _ = in_thread(client.sendall, line)
        answer = b""
        while not answer:
            ready, _, _ = select.select([*server.fds, client.fileno()], [], [], 30.0)
            assert ready, "no answer"
            if client.fileno() in ready:
                answer = client.recv(1000)
            for fd in ready:
                if fd in server.fds:
                    assert server.ready(fd) is None
        sender.join(30.0)

    assert json.loads(answer) == {"error": "expected one JSON object on one line"}


def test_one_who_hangs_up_without_a_word_is_forgotten(server: ControlServer) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.path))
    before = listener, *_ = server.fds

    assert server.ready(listener) is None
    [connection] = set(server.fds) - set(before)
    assert server.ready(connection) is None

    assert server.fds == before


@pytest.mark.parametrize("reads", [True, False])
def test_a_system_that_ends_before_it_answers_is_no_slow_one(
    tmp_path: Path, *, reads: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control"))
        listener.listen()

        def end() -> None:
            connection, _ = listener.accept()
            with connection:
                # What is closed with something unread resets the line.
                connection.recv(1 << 16 if reads else 1)

        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(NoAnswerError, match="the system ended, or"):
            ask(tmp_path / "control", {"verb": "status"}, 30)
        thread.join()


def test_nobody_there_and_nobody_answering_are_told_apart(
    server: ControlServer, tmp_path: Path
) -> None:
    with pytest.raises(NotRunningError):
        ask(tmp_path / "nobody.sock", {}, 1.0)
    with pytest.raises(NoAnswerError, match=r"no answer within 0\.05 s"):
        ask(server.path, {}, 0.05)


def test_one_whose_queue_is_full_is_there_and_does_not_answer(
    server: ControlServer,
) -> None:
    for _ in range(17):
        with pytest.raises(NoAnswerError):
            ask(server.path, {}, 0.01)

    with pytest.raises(NoAnswerError, match=r"no answer within 0\.05 s"):
        ask(server.path, {}, 0.05)


def test_a_path_may_be_longer_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    server = ControlServer(deep / "control.sock")
    server.tick(0.0)

    thread, answers = in_thread(ask, server.path, {}, 30.0)
    serve(server)[0].answer({"ok": True})

    thread.join(30.0)
    assert answers == [{"ok": True}]
    server.close()


@pytest.mark.parametrize(
    "remove", [Path.unlink, lambda path: shutil.rmtree(path.parent)]
)
def test_a_socket_that_was_removed_is_made_again(
    remove: Callable[[Path], None], tmp_path: Path
) -> None:
    server = ControlServer(tmp_path / "state" / "control.sock")
    server.tick(0.0)
    remove(server.path)

    server.tick(LOOK_S - 0.1)
    still_gone = not server.path.exists()
    server.tick(LOOK_S)

    assert (still_gone, server.problem) == (True, None)
    thread, answers = in_thread(ask, server.path, {}, 30.0)
    serve(server)[0].answer({"ok": True})
    thread.join(30.0)
    assert answers == [{"ok": True}]
    server.close()


def test_where_no_socket_can_be_the_orders_are_heard(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    orders = Orders()
    server = ControlServer(tmp_path / "file" / "control.sock", orders.fd)

    server.tick(0.0)
    orders.send({"verb": "pause"})
    orders.send({"verb": "stop"})
    [first, second] = [server.ready(orders.fd) for _ in range(2)]

    assert server.problem is not None
    assert "cannot make the state directory" in server.problem
    assert server.fds == (orders.fd,)
    assert first is not None
    assert second is not None
    first.answer({"ok": True})  # nobody waits for it
    assert (first.command, second.command) == ({"verb": "pause"}, {"verb": "stop"})
    assert server.ready(orders.fd) is None
    orders.close()


def test_orders_that_nobody_reads_are_refused_at_last() -> None:
    orders = Orders()

    def send_many() -> None:
        for _ in range(100_000):
            orders.send({"verb": "pause"})

    with pytest.raises(NoAnswerError):
        send_many()

    orders.close()


def test_a_lock_that_was_removed_is_seen(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, 4570)
    lock = files.claim()
    assert files.is_claimed_by(lock)

    files.lock.unlink()
    gone = files.is_claimed_by(lock)
    again = files.claim()

    assert not gone
    assert (files.is_claimed_by(lock), files.is_claimed_by(again)) == (False, True)
    lock.close()
    again.close()


def test_a_system_that_has_ended_leaves_no_file(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, 4570)
    files.claim().close()
    files.dump.touch()

    files.remove()

    assert list(tmp_path.iterdir()) == []


def test_what_somebody_needs_yet_is_left(tmp_path: Path) -> None:
    files, read = SystemFiles(tmp_path, 4570), SystemFiles(tmp_path, 4571)
    lock = files.claim()  # by a process that goes on, or by who starts next
    files.remove()
    read.claim().close()
    read.sockets.mkdir()
    read.dump.write_text("stacks")
    read.remove()

    assert files.is_claimed_by(lock)
    assert (read.lock.exists(), read.dump.exists()) == (True, True)
    lock.close()


def test_who_waited_for_a_lock_that_was_removed_takes_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SystemFiles(tmp_path, 4570)
    take = file_lock.take

    def removed_meanwhile(file: IO[str], within_s: float = 0.0) -> bool:
        monkeypatch.setattr(file_lock, "take", take)
        files.lock.unlink()
        return take(file, within_s)

    monkeypatch.setattr(file_lock, "take", removed_meanwhile)
    lock = files.claim()

    assert files.is_claimed_by(lock)
    lock.close()


def test_what_killed_systems_left_is_found_past_what_is_in_the_way(
    tmp_path: Path,
) -> None:
    for port in (1, 2, 3):
        (tmp_path / f"{port}.actors").mkdir()
    (tmp_path / "1.lock").symlink_to(tmp_path / "2.lock")
    (tmp_path / "2.lock").touch()
    running = SystemFiles(tmp_path, 3).claim()

    found = list(SystemFiles(tmp_path, 4).left_over())

    running.close()
    assert found == [tmp_path / "2.actors"]


def test_a_port_is_held_by_one_system(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, 4570)

    with files.claim():
        message = f"running at port 4570 already \\(pid {os.getpid()}\\)"
        with pytest.raises(AlreadyRunningError, match=message):
            files.claim()
    files.claim().close()


def test_a_system_on_its_way_out_is_waited_for(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, 4570)
    first = files.claim()

    thread, results = in_thread(files.claim)
    thread.join(0.2)
    waits = thread.is_alive()
    first.close()
    thread.join(30.0)

    assert waits
    [second] = results
    second.close()


def test_the_state_directory_is_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))

    path = state_dir()

    assert path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_need_is_not_closed_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    for each, name in ((home, "letters"), (own, "4570.lock")):
        each.mkdir()
        each.chmod(0o755)
        (each / name).touch()

    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(home))
    with pytest.raises(StateDirError, match="is open to others, and letters is in it"):
        state_dir()
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(own))
    state_dir()

    assert [each.stat().st_mode & 0o777 for each in (home, own)] == [0o755, 0o700]


@pytest.mark.parametrize("taken_by", ["another", "a link", "a file"])
def test_a_name_among_the_temporary_files_that_is_taken_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_by: str
) -> None:
    monkeypatch.delenv("LOWTIDE_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    taken = tmp_path / f"lowtide-{os.getuid()}"
    if taken_by == "another":
        if os.getuid():
            pytest.skip("takes root")
        taken.mkdir()
        os.chown(taken, 65534, -1)
    elif taken_by == "a link":
        taken.symlink_to(tmp_path)
    else:
        taken.touch()

    first, second = state_dir(), state_dir()

    assert first == second
    assert first.name.startswith(f"{taken.name}.")
    assert first.stat().st_mode & 0o777 == 0o700


def test_a_state_directory_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "real")
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))

    with pytest.raises(StateDirError, match="belongs to somebody else"):
        state_dir()

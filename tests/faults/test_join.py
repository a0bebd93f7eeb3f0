"""``join`` on one machine: who is let in, who is not, and how one leaves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.cluster.handshake import Handshake
from actors.cluster.keys import Key
from actors.host.ports import free_port

pytestmark = pytest.mark.system

Start = Callable[..., Any]
Take = Callable[..., Any]
KEY = "a key of all machines, 32 bytes or more"


@pytest.fixture(autouse=True)
def key(env: dict[str, str]) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = KEY


@pytest.fixture
def gate() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def lead(start_numbers: Start, start_system: Start, gate: str) -> Start:
    def start(*words: str, preload: int = 4, **more: Any) -> Any:
        numbers = start_numbers("--preload", str(preload), "--every", "0")
        start.numbers = numbers  # type: ignore[attr-defined]
        timing = ("--machine-timeout", "2", "--every", "0.2")
        return start_system(
            *("--url", numbers.url, "--bind", gate, *timing, *words), **more
        )

    return start


# Who is let in.


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1:4999"])  # noqa: S104
def test_without_a_key_there_is_no_way_in(
    host: str, start_system: Start, env: dict[str, str]
) -> None:
    del env["LOWTIDE_CLUSTER_KEY"]

    system = start_system("--bind", host, ready=False)

    assert system.wait() == 2
    [line] = system.program.lines
    assert line.startswith("lowtide: other machines are let in with a key only")


def test_a_short_key_is_refused(start_system: Start, env: dict[str, str]) -> None:
    env["LOWTIDE_CLUSTER_KEY"] = "short"

    system = start_system("--bind", "127.0.0.1:4999", ready=False)

    assert system.wait() == 2
    assert system.program.lines == [
        "lowtide: LOWTIDE_CLUSTER_KEY must hold a key of at least 32 bytes, got 5"
    ]


@pytest.mark.parametrize(
    ("mode", "content", "expected"),
    [
        (0o644, KEY, "must be readable by its owner only (chmod 600)"),
        (0o600, "short", "must hold a key of at least 32 bytes, got 5"),
        (None, "", "cannot read the cluster's key"),
    ],
)
def test_a_key_file_that_others_can_read_is_refused(
    mode: int | None,
    content: str,
    expected: str,
    start_system: Start,
    env: dict[str, str],
    tmp_path: Path,
) -> None:
    del env["LOWTIDE_CLUSTER_KEY"]
    path = tmp_path / "key"
    if mode is not None:
        path.write_text(content)
        path.chmod(mode)

    system = start_system(
        *("--bind", "127.0.0.1:4999", "--cluster-key-file", str(path)), ready=False
    )

    assert system.wait() == 2
    [line] = system.program.lines
    assert expected in line


def test_a_key_from_a_file_lets_in(
    lead: Start, join_system: Start, gate: str, env: dict[str, str], tmp_path: Path
) -> None:
    del env["LOWTIDE_CLUSTER_KEY"]
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    words = ("--cluster-key-file", str(path))
    leader = lead("--processors", "0", *words)

    join_system(gate, "--name", "one", "--processors", "1", *words)

    done = leader.wait_for("job.done", count=4)
    assert {each["processor"] for each in done} == {"one/processor-1"}


def test_an_address_that_is_not_here_is_refused(lead: Start, gate: str) -> None:
    system = lead("--bind", "192.0.2.1", ready=False)

    assert system.wait() == 2
    [line] = [e for e in system.program.lines if e.startswith("lowtide:")]
    assert line.startswith("lowtide: cannot listen at 192.0.2.1")


def test_another_key_is_not_let_in_and_told_so(
    lead: Start, join_system: Start, gate: str, systems: Any
) -> None:
    leader = lead()
    leader.wait_for("job.done", count=4)
    systems.env["LOWTIDE_CLUSTER_KEY"] = "another key, just as long as the first"

    stranger = join_system(gate, "--processors", "1", ready=False)

    [told, *_] = stranger.wait_for("machine.waiting")
    assert "with the same key?" in told["reason"]
    [refused] = leader.wait_for("frame.refused")
    assert refused["reason"] == "not signed with this system's key"
    assert leader.all_of("machine.joined") == []


def test_with_a_machines_key_one_joins_by_that_name_and_leads_nobody(
    lead: Start, join_system: Start, start_system: Start, gate: str, systems: Any
) -> None:
    leader = lead("--processors", "0")
    systems.env["LOWTIDE_CLUSTER_KEY"] = Key(KEY.encode()).of("far").text()

    join_system(gate, "--processors", "1")

    done = leader.wait_for("job.done", count=4)
    assert {each["processor"] for each in done} == {"far/processor-1"}
    for other in (
        join_system(gate, "--name", "near", ready=False),
        start_system("--bind", f"127.0.0.1:{free_port()}", ready=False),
    ):
        assert other.wait() == 2
    [line] = [e for e in other.program.lines if e.startswith("lowtide:")]
    assert line.startswith(
        "lowtide: LOWTIDE_CLUSTER_KEY holds the key of machine 'far', with which that "
        "may join and nobody may lead"
    )


def test_a_leader_does_not_choose_what_a_machine_runs(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead("--process", "os:system", "--processors", "0")

    words = ("--name", "far", "--processors", "1")
    member = join_system(gate, *words, ready=False)

    assert member.wait() == 2
    [refused] = member.all_of("machine.refused")
    assert "asks for os:system, which this machine was not told" in refused["reason"]
    assert leader.all_of("job.done") == []


def test_what_is_allowed_by_name_is_run(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead("--process", "json:dumps", "--processors", "0")

    join_system(gate, "--processors", "1", "--allow", "json:dumps")

    leader.wait_for("job.done", count=4)


def test_other_code_of_the_same_name_is_refused_by_name_and_version(
    lead: Start, join_system: Start, gate: str, systems: Any, tmp_path: Path
) -> None:
    lead("--process", "jobs:root")
    other = tmp_path / "other"
    other.mkdir()
    support = Path(__file__).parents[1] / "support" / "jobs.py"
    (other / "jobs.py").write_text(support.read_text() + "# changed\n")
    before = systems.env["PYTHONPATH"]
    systems.env["PYTHONPATH"] = os.pathsep.join((str(other), before))

    member = join_system(gate, "--processors", "1", ready=False)

    assert member.wait() == 2
    [line] = [e for e in member.program.lines if e.startswith("lowtide:")]
    assert "another version of the code: jobs:root is no version (" in line
    assert "at the leader" in line


def test_a_processor_whose_source_has_changed_since_is_not_started_again(
    lead: Start, join_system: Start, gate: str, systems: Any, tmp_path: Path
) -> None:
    (tmp_path / "own_jobs.py").write_text(
        "from own_helper import double\n\n\ndef process(job):\n    return double(job)\n"
    )
    helper = tmp_path / "own_helper.py"
    helper.write_text("def double(job):\n    return 2\n")
    before = systems.env["PYTHONPATH"]
    systems.env["PYTHONPATH"] = os.pathsep.join((str(tmp_path), before))
    leader = lead("--process", "own_jobs:process", "--processors", "1")
    member = join_system(gate, "--name", "far", "--processors", "2")
    [first, *_] = member.wait_for("processor.attached", count=2)

    helper.write_text("def double(job):\n    return 3\n")
    os.kill(first["pid"], signal.SIGKILL)

    [failed] = member.wait_for("stage.failed")
    assert failed["stage"] == first["processor"]
    assert "own_jobs:process has changed since it was compared" in failed["error"]
    lead.numbers.add(4, 9)  # type: ignore[attr-defined]
    done = leader.wait_for("job.done", count=2)
    assert {each["result"] for each in done} == {2}


def test_another_lowtide_is_refused_by_version(
    lead: Start, join_system: Start, gate: str, tmp_path: Path
) -> None:
    leader = lead()
    root = Path(__file__).parents[2]
    other = tmp_path / "other"
    shutil.copytree(root / "actors", other / "actors")
    with (other / "actors" / "__init__.py").open("a") as file:
        file.write("# changed\n")

    member = join_system(
        gate, "--processors", "1", prefix=("env", "-C", str(other)), ready=False
    )

    assert member.wait() == 2
    [line] = [e for e in member.program.lines if e.startswith("lowtide:")]
    assert line.startswith("lowtide: lowtide ")
    assert " on the machine, " in line
    assert line.endswith(" at its leader")
    leader.wait_for("machine.refused")


def test_a_kind_that_is_not_there_is_refused(
    lead: Start, join_system: Start, gate: str
) -> None:
    lead()

    member = join_system(gate, "--processor", "cube", ready=False)

    assert member.wait() == 2
    [line] = [e for e in member.program.lines if e.startswith("lowtide:")]
    assert line == "lowtide: --processor must be one of processor, got 'cube'"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere",), "the leader must be HOST:PORT, got 'nowhere'"),
        (("127.0.0.1:4570", "--name", "a/b"), "--name must be of 1 to 64 characters"),
        (("127.0.0.1:4570", "--processors", "0"), "--processors must be at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(
    words: tuple[str, ...], expected: str, join_system: Start
) -> None:
    member = join_system(*words, ready=False)

    assert member.wait() == 2
    [line] = member.program.lines
    assert line.startswith(f"lowtide: {expected}")


# While it is in.


def test_two_machines_of_one_name_do_not_get_along(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead()
    first = join_system(gate, "--name", "twin", "--processors", "1")
    join_system(gate, "--name", "twin", "--processors", "1", ready=False)
    [refused, *_] = leader.wait_for("machine.refused")
    assert refused["reason"] == "a machine named 'twin' has joined already"

    first.kill_all()

    # The other has waited for the name.
    leader.wait_for("machine.joined", machine="twin", count=2)


def test_status_detach_and_set_reach_processors_elsewhere(
    lead: Start, join_system: Start, gate: str, eventually: Take, window: Any
) -> None:
    leader = lead("--processors", "1")
    member = join_system(gate, "--name", "far", "--processors", "2")
    leader.wait_for("processor.attached", count=3)
    [far] = [e for e in leader.status()["processors"] if e["name"] == "far/processor-2"]
    assert far["host"] == socket.gethostname()
    assert far["pid"] in member.pids()
    [working] = member.all_of("machine.working")
    assert working["processors"] == 2

    code, out, _ = leader.command("detach", "far/processor-2")

    assert (code, out) == (0, "detached far/processor-2\n")
    member.wait_for("stage.exited", stage="far/processor-2", reason="drained")
    # What was asked for stands: it asks again when half of the window is free.
    larger = 2 * window.short + 2
    assert leader.command("set", "--max-demand", str(larger))[0] == 0
    eventually(
        lambda: (
            [
                e["demand"]
                for e in leader.status()["processors"]
                if e["name"] == "far/processor-1"
            ]
            == [larger]
        ),
        "the other asks for more",
    )


def test_a_silent_processor_elsewhere_is_killed_there_and_its_job_done(
    lead: Start,
    join_system: Start,
    gate: str,
    account: Take,
    asked: Take,
    window: Any,
) -> None:
    leader = lead(
        *("--processors", "1", "--process", "jobs:slow_root", "--lease", "1.5"),
        preload=0,
    )
    member = join_system(gate, "--name", "far", "--processors", "1")
    [ready] = member.wait_for("processor.attached")
    asked(leader, 2 * window.long)
    lead.numbers.add(*range(40))  # type: ignore[attr-defined]
    leader.wait_for("job.done", processor="far/processor-1")

    os.kill(ready["pid"], signal.SIGSTOP)

    member.wait_for("stage.silent", stage="far/processor-1")
    member.wait_for("processor.attached", processor="far/processor-1", count=2)
    leader.wait_for("job.done", count=40)
    taken = account(lead.numbers, leader)  # type: ignore[attr-defined]
    assert (taken.lost, taken.unexpected, taken.left) == ((), (), 0)
    assert taken.duplicated <= len(leader.all_of("job.returned")) <= window.long
    # Its crash is its own: the machine stayed in.
    assert leader.all_of("machine.lost") == []


def test_steps_on_other_machines_take_from_one_another(
    start_numbers: Start,
    start_system: Start,
    join_system: Start,
    gate: str,
    tmp_path: Path,
) -> None:
    numbers = start_numbers("--preload", "6", "--every", "0")
    config = tmp_path / "steps.toml"
    config.write_text(
        f"""
bind = "{gate}"
every_s = 0.2

[[fetcher]]
name = "numbers"
fetch = "domain.numbers:fetch"
options = {{ url = "{numbers.url}" }}

[[processor]]
name = "sqrt"
process = "steps:sqrt"
from = ["numbers"]
count = 0
max_demand = 2

[[processor]]
name = "report"
process = "steps:report"
from = ["sqrt"]
count = 0
"""
    )
    leader = start_system("--config", str(config))
    join_system(gate, "--name", "one", "--processor", "sqrt", "--processors", "1")
    join_system(gate, "--name", "two", "--processor", "report", "--processors", "1")

    done = leader.wait_for("job.done", count=6)

    assert {each["processor"] for each in done} == {"one/sqrt-1"}
    assert leader.status()["accounting"]["done"] == 6
    processors = {e["name"]: e["done"] for e in leader.status()["processors"]}
    assert processors == {"one/sqrt-1": 6, "two/report-1": 6}


# Who follows its source, as on the leader's own machine.

FAR = """
bind = "{gate}"
every_s = 0.2

[[fetcher]]
name = "numbers"
fetch = "domain.numbers:fetch"
options = {{ url = "{url}" }}

[[processor]]
name = "sqrt"
process = "steps:sqrt"
from = ["numbers"]
count = {count}

[[processor]]
name = "report"
process = "{process}"
from = ["{source}"]
count = 0
cancel = "{cancel}"
"""


@pytest.fixture
def lead_far(
    start_numbers: Start, start_system: Start, gate: str, tmp_path: Path
) -> Start:
    def start(
        cancel: str, source: str, count: int = 1, process: str = "steps:sqrt"
    ) -> Any:
        numbers = start_numbers("--preload", "0", "--every", "0")
        config = tmp_path / "far.toml"
        config.write_text(
            FAR.format(
                gate=gate,
                url=numbers.url,
                cancel=cancel,
                source=source,
                count=count,
                process=process,
            )
        )
        start.numbers = numbers  # type: ignore[attr-defined]
        return start_system("--config", str(config))

    return start


@pytest.mark.parametrize(
    ("cancel", "follows"),
    [("temporary", []), ("transient", ["restart"]), ("permanent", ["restart"])],
)
def test_a_fetcher_that_dies_takes_along_who_is_bound_to_it_elsewhere(
    cancel: str, follows: list[str], lead_far: Start, join_system: Start, gate: str
) -> None:
    leader = lead_far(cancel, "numbers", count=0)
    words = ("--name", "far", "--processor", "report", "--processors", "1")
    member = join_system(gate, *words)
    [before] = leader.wait_for("processor.attached", processor="far/report-1")
    [fetcher] = leader.status()["fetchers"]

    os.kill(fetcher["pid"], signal.SIGKILL)

    leader.wait_for("stage.restarted", stage="numbers")
    if follows:
        member.wait_for("processor.attached", processor="far/report-1", count=2)
        leader.wait_for("processor.attached", processor="far/report-1", count=2)
    lead_far.numbers.add(9)  # type: ignore[attr-defined]
    leader.wait_for("job.done", processor="far/report-1")
    told = member.all_of("stage.followed", stage="far/report-1", source="numbers")
    assert [each["what"] for each in told] == follows
    [after] = leader.status()["processors"]
    assert (after["restarts"], after["pid"] != before["pid"]) == (
        len(follows),
        bool(follows),
    )


@pytest.mark.parametrize(
    ("cancel", "leaves"),
    [("temporary", False), ("transient", False), ("permanent", True)],
)
def test_a_step_that_leaves_takes_along_who_is_bound_for_good_elsewhere(
    cancel: str,
    lead_far: Start,
    join_system: Start,
    gate: str,
    *,
    leaves: bool,
) -> None:
    leader = lead_far(cancel, "sqrt", process="steps:report")
    words = ("--name", "far", "--processor", "report", "--processors", "1")
    member = join_system(gate, *words)
    leader.wait_for("processor.attached", processor="far/report-1")
    lead_far.numbers.add(9)  # type: ignore[attr-defined]
    leader.wait_for("job.done")

    assert leader.command("detach", "sqrt-1")[0] == 0

    if leaves:
        member.wait_for("processor.detached", processor="far/report-1")
        leader.wait_for("processor.detached", processor="far/report-1")
        assert leader.status()["processors"] == []
        return
    assert leader.command("attach", "--processor", "sqrt")[0] == 0
    lead_far.numbers.add(16)  # type: ignore[attr-defined]
    leader.wait_for("job.done", count=2)
    assert member.all_of("stage.followed") == []
    assert leader.all_of("processor.detached", processor="far/report-1") == []


def test_a_step_elsewhere_that_dies_or_is_lost_takes_along_who_is_bound_to_it(
    lead_far: Start, join_system: Start, gate: str
) -> None:
    leader = lead_far("transient", "sqrt", count=0, process="steps:report")
    words = ("--name", "far", "--processor", "sqrt", "--processors", "1")
    member = join_system(gate, *words)
    assert leader.command("attach", "--processor", "report")[0] == 0
    lead_far.numbers.add(9)  # type: ignore[attr-defined]
    leader.wait_for("job.done")

    [step] = member.wait_for("processor.attached")
    os.kill(step["pid"], signal.SIGKILL)

    bound = {"stage": "report-1", "source": "far/sqrt-1", "what": "restart"}
    leader.wait_for("stage.followed", **bound)
    leader.wait_for("processor.attached", processor="report-1", count=2)
    assert leader.all_of("processor.detached") == []
    # One that has not come back cannot be lost again.
    leader.wait_for("processor.attached", processor="far/sqrt-1", count=2)

    member.kill_all()

    leader.wait_for("stage.followed", **bound, count=2)
    leader.wait_for("processor.attached", processor="report-1", count=3)
    join_system(gate, *words)
    lead_far.numbers.add(16)  # type: ignore[attr-defined]
    leader.wait_for("job.done", count=2)


def test_a_person_asks_for_jobs_of_a_processor_elsewhere(
    lead_far: Start, join_system: Start, gate: str
) -> None:
    manual = 'temporary"\ndemand = "manual'
    leader = lead_far(manual, "numbers", count=0)
    words = ("--name", "far", "--processor", "report", "--processors", "1")
    join_system(gate, *words)
    leader.wait_for("processor.attached", processor="far/report-1")
    lead_far.numbers.add(4, 9, 16)  # type: ignore[attr-defined]

    code, out, _ = leader.command("ask", "report", "2")

    assert (code, out) == (0, "asked far/report-1 2\n")
    done = leader.wait_for("job.done", count=2)
    assert {each["processor"] for each in done} == {"far/report-1"}


# How it leaves.


def test_a_member_drains_and_leaves(
    lead: Start, join_system: Start, gate: str, account: Take
) -> None:
    leader = lead("--processors", "0", "--process", "jobs:slow_root", preload=5)
    member = join_system(gate, "--name", "far", "--processors", "2")
    leader.wait_for("job.done")

    member.signal(signal.SIGTERM)

    assert member.wait() == 0
    leader.wait_for("machine.left", machine="far")
    status = leader.status()
    assert status["processors"] == []
    assert status["accounting"]["in_flight"] == 0
    taken = account(lead.numbers, leader)  # type: ignore[attr-defined]
    assert (taken.lost, taken.duplicated) == ((), 0)
    join_system(gate, "--name", "far", "--processors", "1")
    leader.wait_for("job.done", count=5)


def test_a_member_that_cannot_finish_in_time_says_so(
    lead: Start, join_system: Start, gate: str, runs: Take, eventually: Take
) -> None:
    leader = lead("--processors", "0", "--process", "jobs:minute", preload=1)
    member = join_system(
        gate, "--name", "far", "--processors", "1", "--drain-timeout", "0.3"
    )
    eventually(runs, "the job is begun")

    member.signal(signal.SIGTERM)

    assert member.wait() == 4
    leader.wait_for("job.returned")


def test_a_leader_that_stops_leaves_its_members_waiting(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead("--processors", "0", preload=1)
    member = join_system(gate, "--name", "far", "--processors", "1")
    leader.wait_for("job.done")

    assert leader.command("stop")[0] == 0

    member.wait_for("machine.away")
    assert member.status()["state"] == "away"
    assert member.program.process.poll() is None
    member.signal(signal.SIGINT)
    assert member.wait() == 0


# Strangers at the gate.


def test_silent_connections_keep_no_machine_out_of_the_gate(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead("--processors", "0", "--machine-timeout", "30")
    host, port = gate.split(":")
    silent: list[socket.socket] = []
    flooding = threading.Event()

    def flood() -> None:
        while not flooding.wait(0.02):
            silent.append(socket.create_connection((host, int(port)), 30))

    silent += [socket.create_connection((host, int(port)), 30) for _ in range(64)]
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        member = join_system(gate, "--name", "far", "--processors", "1")
        leader.wait_for("machine.joined")
        leader.wait_for("job.done", count=4)
        [full] = leader.wait_for("gate.full")[:1]
        silent[0].settimeout(30)
        assert silent[0].recv(1) == b""
    finally:
        flooding.set()
        thread.join()
        for each in silent:
            each.close()

    assert full["strangers"] <= 64
    assert member.all_of("machine.away") == []


def test_what_strangers_say_at_the_gate_is_dropped_and_told_once(
    lead: Start, join_system: Start, gate: str
) -> None:
    leader = lead()
    leader.wait_for("job.done", count=4)
    member = join_system(gate, "--name", "far", "--processors", "1")
    hello = Handshake(Key(KEY.encode()), os.urandom(32), dials=True).outgoing
    host, port = gate.split(":")

    def say(*parts: bytes) -> bytes:
        with socket.create_connection((host, int(port)), 30) as line:
            line.settimeout(30)
            heard = b""
            for part in parts:
                line.sendall(part)
                heard = line.recv(1000)
            return heard

    for _ in range(3):
        assert say(os.urandom(100)) == b""
        assert say(hello[:-1] + b"x") == b""
        # Signed by one of us, recorded and played again: it is answered, and
        # gets no further for want of the key.
        assert say(hello, b"\x00\x00\x00\x05" + os.urandom(21)) == b""
        assert say(hello, (10_000_000_000 & 0xFFFFFFFF).to_bytes(4)) == b""

    told = leader.wait_for("frame.refused", count=3)
    assert sorted(each["reason"] for each in told) == [
        "no frame",
        "not signed with this system's key",
        "too long",
    ]
    lead.numbers.add(16.0)  # type: ignore[attr-defined]
    leader.wait_for("job.done", count=5)
    assert leader.all_of("machine.lost") == []
    assert member.all_of("machine.away") == []

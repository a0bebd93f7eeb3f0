"""An actor system from inside the process that starts it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from actors.actor_system import system
from actors.actor_system.system import RunningSystem
from actors.actor_system.system_base import SystemStartError
from actors.actor_system.user_limits import LimitError, check_limits
from actors.host import linux


@pytest.mark.system
def test_a_program_that_goes_on_after_its_system_is_as_before(tmp_path: Path) -> None:
    before = gc.get_threshold()

    running = RunningSystem(tmp_path / "sockets", str(tmp_path / "thespian.log"), ())
    assert (tmp_path / "sockets").is_dir()
    running.kill()

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    assert not (tmp_path / "sockets").exists()


def test_a_system_that_does_not_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def base(*_: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(system, "Base", base)
    before = gc.get_threshold()

    with pytest.raises(SystemStartError, match="did not start: no more processes"):
        RunningSystem(tmp_path / "sockets", str(tmp_path / "thespian.log"), ())

    assert gc.get_threshold() == before
    assert not (tmp_path / "sockets").exists()


@pytest.mark.parametrize(
    ("allow", "what"),
    [
        ("allow_descriptors", "need 90 open files in a process, 1 are allowed"),
        ("allow_tasks", "need 28 processes and threads, 1 more are allowed"),
    ],
)
def test_too_narrow_a_limit_is_told_with_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, allow: str, what: str
) -> None:
    monkeypatch.setattr(linux, "allow_descriptors", lambda count: count)
    monkeypatch.setattr(linux, "allow_tasks", lambda _: None)
    check_limits(10)
    monkeypatch.setattr(linux, allow, lambda _: 1)

    with pytest.raises(LimitError, match=what):
        check_limits(10)

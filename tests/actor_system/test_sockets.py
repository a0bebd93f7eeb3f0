"""The directory of the sockets: who may enter, and what is removed."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from actors.actor_system import sockets
from actors.actor_system.sockets import Directory, DirectoryError


def test_only_its_owner_may_enter_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = sockets.make(tmp_path / "sockets")
    finally:
        os.umask(before)

    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    os.close(made.fd)


@pytest.mark.parametrize("length", [1, 60, 107, 240])
def test_a_path_of_any_length_can_be_listened_at(tmp_path: Path, length: int) -> None:
    deep = tmp_path / ("x" * min(length, 200)) / ("y" * 40)
    deep.mkdir(parents=True)
    made = sockets.make(deep / "sockets")

    with made.listen("one") as listener, made.dial("one") as connection:
        accepted, _ = listener.accept()
        accepted.send(b"hello")
        assert connection.recv(10) == b"hello"
        accepted.close()
    assert (deep / "sockets" / "one").is_socket()
    os.close(made.fd)


def test_a_path_that_is_too_long_without_proc_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "_SELF", str(tmp_path / "no" / "proc"))
    deep = tmp_path / ("x" * 100)
    deep.mkdir()

    with pytest.raises(DirectoryError, match=r"too long .* LOWTIDE_STATE_DIR"):
        sockets.make(deep / "sockets")


def test_names_are_never_given_twice_and_fit() -> None:
    names = {sockets.new_name("A" * 100) for _ in range(1000)}

    assert len(names) == 1000
    assert max(map(len, names)) == sockets.MAX_NAME


def test_what_a_dead_system_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "kept"
    outside.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(outside / "socket"))
    made = sockets.make(tmp_path / "sockets")
    made.listen("one").close()
    os.close(made.fd)
    (made.path / "notes").write_text("a person's")
    (made.path / "link").symlink_to(outside / "socket")
    (made.path / "door").symlink_to(outside, target_is_directory=True)

    sockets.remove(made.path)

    assert sorted(each.name for each in made.path.iterdir()) == [
        *("door", "link", "notes"),
    ]
    assert (outside / "socket").is_socket()
    shutil.rmtree(made.path)
    made.path.symlink_to(outside, target_is_directory=True)
    sockets.remove(made.path)
    assert (outside / "socket").is_socket()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_is_no_directory_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sockets"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.touch()

    with pytest.raises(DirectoryError, match=str(path)):
        sockets.make(path)


def test_one_who_is_gone_is_not_there(directory: Directory) -> None:
    directory.listen("one").close()

    with pytest.raises(ConnectionRefusedError):
        directory.dial("one")
    directory.forget("one")
    with pytest.raises(FileNotFoundError):
        directory.dial("one")


def test_a_listener_of_another_user_is_not_talked_to(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with directory.listen("one"):
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        if os.getuid() == 0:
            monkeypatch.setattr(sockets, "_ALWAYS", frozenset())

        with pytest.raises(PermissionError):
            directory.dial("one")

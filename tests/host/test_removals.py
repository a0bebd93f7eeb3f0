"""When to look after a file: at once where something was removed, else seldom."""

from __future__ import annotations

import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.host import removals
from actors.host.removals import LOOK_ANYWAY_S, LOOK_S, SETTLE_S, Removals


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    (made / "lock").touch()
    return made


@pytest.fixture
def watched(directory: Path) -> Iterator[Removals]:
    made = Removals(directory)
    yield made
    made.close()


def has_word(of: Removals) -> bool:
    return bool(select.select([of.fd], [], [], 0.0)[0])


def move_away(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


def replace_lock(directory: Path) -> None:
    (directory.parent / "other").touch()
    (directory.parent / "other").rename(directory / "lock")


@pytest.mark.parametrize(
    "remove",
    [lambda path: (path / "lock").unlink(), shutil.rmtree, move_away, replace_lock],
)
def test_what_is_removed_is_told_and_looked_after_soon(
    remove: Callable[[Path], None], directory: Path, watched: Removals
) -> None:
    assert watched.due(100.0)
    quiet = (has_word(watched), watched.next_look())

    remove(directory)

    assert quiet == (False, 100.0 + LOOK_ANYWAY_S)
    assert has_word(watched)
    watched.told(110.0)
    assert not has_word(watched)
    assert watched.next_look() == 110.0 + SETTLE_S
    # What is told again and again puts nothing off.
    watched.told(110.5)
    assert not watched.due(110.9)
    assert watched.due(111.0)


def test_who_is_awake_anyway_looks(watched: Removals) -> None:
    assert watched.due(100.0)

    assert not watched.due(100.0 + LOOK_S - 0.1)
    assert watched.due(100.0 + LOOK_S)
    assert watched.next_look() == 100.0 + LOOK_S + LOOK_ANYWAY_S


def test_a_directory_that_was_made_anew_is_watched(
    directory: Path, watched: Removals
) -> None:
    assert watched.due(100.0)
    shutil.rmtree(directory)
    watched.told(101.0)
    # As long as there is none, or what is no directory, nothing can be told.
    directory.touch()
    assert watched.due(102.0)
    assert (watched.fd, watched.next_look()) == (-1, 102.0 + LOOK_S)
    directory.unlink()
    directory.mkdir()
    (directory / "lock").touch()

    assert watched.due(102.0 + LOOK_S)
    assert not has_word(watched)
    (directory / "lock").unlink()
    assert has_word(watched)


def test_where_nothing_tells_one_looks_as_often_as_ever(
    watched: Removals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "_opened", lambda: -1)

    assert watched.due(100.0)

    assert (watched.fd, watched.next_look()) == (-1, 100.0 + LOOK_S)

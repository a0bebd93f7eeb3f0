from __future__ import annotations

import multiprocessing
import os
import random
import tempfile
from pathlib import Path

import pytest

from actors.host.state_dir import state_dir
from domain.api.budgets import (
    MARGIN_S,
    Notes,
    SharedBudget,
    boot_time,
    shared_budget_of,
    state_folder,
)
from domain.api.source_settings import Rate

RATE = Rate(3, 10.0)


@pytest.mark.parametrize("seed", range(20))
def test_no_window_has_more_than_its_budget(seed: int) -> None:
    draw = random.Random(seed)
    notes, now, sent = Notes(), 0.0, []
    for _ in range(300):
        wait = notes.take(RATE, now, now + 10.0)
        if wait:
            now += wait * draw.uniform(0.5, 1.0)
            continue
        sent.append(now)
        now += draw.uniform(0, 2)
        notes = Notes.read(notes.written())
        if draw.random() < 0.8:  # else its process died
            notes.answered(sent[-1] + 10.0, now)
    for index in range(len(sent) - RATE.count):
        assert sent[index + RATE.count] - sent[index] >= RATE.seconds
    assert len(sent) > 20


def test_what_waits_is_told_for_how_long() -> None:
    notes = Notes()
    for at in (0.0, 1.0, 2.0):
        assert notes.take(RATE, at, at) == 0.0

    assert notes.take(RATE, 4.0, 4.0) == pytest.approx(6.0 + MARGIN_S)
    assert notes.take(RATE, 10.1, 10.1) == 0.0


def test_two_budgets_share_what_was_sent() -> None:
    notes = Notes()
    for at in range(3):
        notes.take(Rate(100, 3600.0), float(at), float(at))

    assert notes.take(RATE, 3.0, 3.0) > 0


def test_a_source_that_wants_to_be_left_alone_is() -> None:
    notes = Notes()
    notes.hold("me", 30.0, 0.0)

    assert notes.held("me", 10.0) == 20.0
    assert notes.held("me", 30.0) == 0.0
    assert notes.held("other", 10.0) == 0.0
    assert Notes.read(notes.written()).held("me", 10.0) == 20.0


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"sent": 1}', '{"sent": ["a"]}', "null"]
)
def test_a_file_that_makes_no_sense_is_as_good_as_none(text: str) -> None:
    assert Notes.read(text) == Notes()


def test_of_before_the_start_of_the_machine_nothing_counts() -> None:
    notes = Notes([1e9] * 5, 10.0, {"me": 1e9})

    assert notes.take(RATE, 100.0, 100.0) == 0.0
    assert notes.held("me", 100.0) == 0.0


def test_who_is_killed_while_it_writes_leaves_what_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.json"
    path.write_text(Notes([99.0] * 50, 10.0).written())
    written: list[str] = []
    fdopen = os.fdopen

    def watched(*words: object) -> object:
        file = fdopen(*words)  # type: ignore[call-overload]
        truncate = file.truncate

        def look_first(*size: int) -> int:
            file.flush()
            written.append(path.read_text())
            return int(truncate(*size))

        monkeypatch.setattr(file, "truncate", look_first, raising=False)
        return file

    monkeypatch.setattr(os, "fdopen", watched)
    SharedBudget(path, lambda: 105.0).hold("me", 30.0)
    SharedBudget(path, lambda: 200.0).take(RATE, 1.0)

    assert [Notes.read(text) == Notes() for text in written] == [False, False]
    assert path.read_text() == Notes.read(written[-1]).written()


def _ask(folder: str, turns: int, queue: multiprocessing.Queue[int]) -> None:
    ledger = SharedBudget(Path(folder) / "notes.json", boot_time)
    taken = sum(1 for _ in range(turns) if ledger.take(Rate(7, 600.0), 10.0)[0] == 0)
    queue.put(taken)


def test_the_processes_of_a_machine_share_a_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[int] = context.Queue()
    processes = [
        context.Process(target=_ask, args=(str(tmp_path), 20, queue)) for _ in range(4)
    ]
    for each in processes:
        each.start()

    assert sum(queue.get(timeout=60) for _ in processes) == 7
    for each in processes:
        each.join()


def test_the_file_is_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path / "state"))
    before = os.umask(0)
    try:
        shared_budget_of(("https", "api.example", 443)).hold("me", 9.0)
    finally:
        os.umask(before)

    [file] = (tmp_path / "state").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert shared_budget_of(("https", "api.example", 443)).held("me") > 0
    assert shared_budget_of(("https", "api.example", 444)).held("me") == 0


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    path = tmp_path / "notes.json"
    path.symlink_to(target)
    ledger = SharedBudget(path, boot_time)

    assert ledger.take(RATE, 0.0)[0] == 0.0
    ledger.hold("me", 9.0)

    assert target.read_text() == "precious"
    assert ledger.held("me") > 0


@pytest.mark.parametrize("squatted", ["file", "link"])
def test_a_name_that_somebody_else_took_first_keeps_nobody_from_a_folder(
    squatted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("LOWTIDE_STATE_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    taken = tmp_path / f"lowtide-{os.getuid()}"
    if squatted == "file":
        taken.touch()
    else:
        taken.symlink_to(tmp_path)

    folder = state_folder()

    assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
    assert folder == state_folder()
    assert folder == state_dir()  # where the other files of a system are

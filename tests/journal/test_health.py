"""What is seen of a journal from outside."""

from __future__ import annotations

from pathlib import Path

from actors.journal.file import journal_problem


def test_a_journal_on_a_disk_with_room_is_well(tmp_path: Path) -> None:
    journal = tmp_path / "lowtide.db"
    journal.touch()

    assert journal_problem(journal) is None


def test_a_journal_that_was_moved_away_is_gone(tmp_path: Path) -> None:
    journal = tmp_path / "lowtide.db"

    assert journal_problem(journal) == (
        f"the journal {journal} is gone: No such file or directory"
    )


def test_a_disk_without_room_is_full() -> None:
    # A file system that has none, ever.
    journal = Path("/proc/version")

    assert journal_problem(journal) == f"the disk of the journal {journal} is full"

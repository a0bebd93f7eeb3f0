"""The stores of a journal, told apart by its name: a file, PostgreSQL, or none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from actors.host.redaction import MASK
from actors.journal import file
from actors.journal.file import JournalDamagedError, JournalFile
from actors.journal.follow import FileFollower, JournalPosition, file_position
from actors.journal.memory import MemoryJournal
from actors.journal.postgres_database import JournalUrl, is_postgres
from actors.journal.sqlite import SqliteJournal
from actors.journal.view import JournalView

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    from actors.journal.follow import Follower
    from actors.journal.journal import Keep
    from actors.journal.postgres_follow import Reached
    from actors.journal.sqlite import Clock

    Position: TypeAlias = JournalPosition | Mapping[int, Reached]

# The modules of PostgreSQL's are imported where they are needed, as its library is.


def open_journal(
    journal: str | None,
    fetcher: str,
    clock: Clock,
    remember_s: float,
    keep: Keep | None = None,
) -> SqliteJournal | MemoryJournal:
    """What a fetcher keeps its jobs in; None is for memory only.

    Raises:
        JournalError: It cannot be opened.
    """
    if journal is None:
        return MemoryJournal(clock.monotonic, remember_s)
    if is_postgres(journal):
        from actors.journal.postgres import PostgresJournal  # noqa: PLC0415

        return PostgresJournal(JournalUrl.of(journal), fetcher, clock, remember_s, keep)
    return SqliteJournal(
        Path(journal), fetcher, clock, remember_s=remember_s, keep=keep
    )


def look_into(journal: str | Path) -> JournalView:
    """Look into a journal from outside.

    Raises:
        JournalDamagedError: It is not there, or cannot be read.
    """
    if is_postgres(str(journal)):
        from actors.journal.postgres_view import PostgresView  # noqa: PLC0415

        return PostgresView(str(journal))
    return JournalView(Path(journal))


def position_of(journal: str) -> Position:
    """Where those stand who want to know what comes now.

    Raises:
        JournalDamagedError: It is in PostgreSQL, which does not answer.
    """
    if is_postgres(journal):
        from actors.journal.postgres_follow import postgres_position  # noqa: PLC0415

        return postgres_position(journal)
    return file_position(Path(journal))


def follower_of(journal: str, place: Position) -> Follower:
    """Who reads on from there.

    Raises:
        JournalDamagedError: It is a file, and cannot be read.
    """
    if isinstance(place, JournalPosition):
        return FileFollower(Path(journal), place)
    from actors.journal.postgres_follow import PostgresFollower  # noqa: PLC0415

    return PostgresFollower(journal, place)


def shown(journal: str | None) -> str:
    """A journal's name for people."""
    if journal is not None and is_postgres(journal):
        return JournalUrl.of(journal).shown
    return journal or "none"


def reachable(told: str, own: str | None) -> str:
    """A journal that can be opened, of the name that a system tells.

    Args:
        told: Its name, secrets masked.
        own: The name that was given to who asks, if any.

    Raises:
        JournalDamagedError: Its secrets are not known here.
    """
    told = JournalUrl.of(told).url  # as whom its system writes is its own business
    if MASK not in told:
        return told
    if own is not None and is_postgres(own):
        return own
    raise JournalDamagedError(
        f"the journal is {told}, and no system tells how to enter: say --journal or "
        "LOWTIDE_JOURNAL with the whole URL, or keep the password in ~/.pgpass"
    )


def is_there(journal: str) -> bool:
    """Whether there is anything to look into; of a database that is not known."""
    return is_postgres(journal) or Path(journal).exists()


def problem_of(journal: str) -> str | None:
    """What will keep its fetchers from writing; None where nothing is seen."""
    if is_postgres(journal):
        from actors.journal.postgres_view import problem  # noqa: PLC0415

        return problem(journal)
    return file.journal_problem(Path(journal))


@contextlib.contextmanager
def claimed(journal: str | Path) -> Iterator[str]:
    """Have the journal for oneself for a moment, ready to be written.

    Yields:
        Its name, as ``open_journal`` needs it.

    Raises:
        JournalInUseError: A system has it.
        JournalDamagedError: It cannot be used.
    """
    if is_postgres(str(journal)):
        from actors.journal.leadership import leading  # noqa: PLC0415

        with leading(JournalUrl.of(str(journal)).url) as leadership:
            leadership.keep()
            yield leadership.journal
        return
    kept = JournalFile(Path(journal))
    with kept.claimed():
        kept.prepare()
        yield str(journal)


def next_number(journal: str | None) -> int:
    """The number that the bundled source is to begin with."""
    # A number server that starts anew would count from 1 again, and the journal
    # would know its numbers from the run before.
    if journal is None:
        return 1
    with contextlib.closing(look_into(journal)) as view:
        return 1 + view.highest_id()


def left_in_journal(journal: str | None, fetchers: Iterable[str]) -> int:
    """How many jobs of these fetchers are left; 1 if the journal cannot be read."""
    try:
        left = left_by_fetcher(journal)
    except JournalDamagedError:
        return 1  # nobody may say that nothing is left
    return sum(left.get(each, 0) for each in fetchers)


def left_by_fetcher(journal: str | None) -> dict[str, int]:
    """How many jobs are left, by fetcher; of fetchers, too, that there are no more.

    Raises:
        JournalDamagedError: It cannot be read.
    """
    if journal is None:
        return {}
    with contextlib.closing(look_into(journal)) as view:
        return view.left()

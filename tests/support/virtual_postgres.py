"""The simulation's worlds over PostgreSQL: its fetchers' journals are real ones there.

Processes, clocks and faults stay virtual. A process that is killed in the middle of a
transaction drops its connection, as a real one does.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from actors.journal.journal import JournalError
from actors.journal.leadership import Leadership, leading
from actors.journal.memory import MemoryJournal
from actors.journal.postgres import PostgresJournal
from actors.journal.postgres_database import Database, JournalUrl
from actors.journal.sqlite import Clock
from actors.testing.virtual_environment import Surroundings, VirtualEnvironment
from actors.testing.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from actors.demand.job_events import JobEvent
    from actors.journal.journal import Keep
    from tests.support.postgres import Pool, Server

_EMPTY = "".join(
    f"DELETE FROM lowtide.{table};"  # noqa: S608
    for table in ("job", "payload", "history", "state", "sent", "ended", "fetcher")
)


class _Journal(PostgresJournal):
    """A fetcher's journal, where its process can die or its disk can fail."""

    node: Any

    @property
    def is_writing(self) -> bool:
        return self._database._cursor is not None  # noqa: SLF001

    def sync(self) -> None:
        faults = self.node.base.faults
        faults.reach("sync.began", self.node)
        if error := faults.commit_error(self.node):
            raise JournalError(error)
        super().sync()

    def commit(self, events: Iterable[JobEvent], *, sync: bool = True) -> None:
        faults = self.node.base.faults
        faults.reach("commit.began", self.node)
        if error := faults.commit_error(self.node):
            raise JournalError(error)
        kept = tuple(events)
        super().commit(kept, sync=sync)
        self.node.base.observer.committed(self.node, kept)
        faults.reach("commit.ended", self.node)


class _Looks(Database):
    """Reads what stands for a world's file."""

    in_transaction = False


class Databases:
    """A database for each journal of a world that is there, used again after it.

    Attributes:
        stack: What ends with all of them.
    """

    def __init__(self, server: Server | Pool) -> None:
        self._server = server
        self._free: list[tuple[Leadership, _Looks]] = []
        self._count = 0
        self.stack = contextlib.ExitStack()

    def take(self, world: object) -> tuple[Leadership, _Looks]:
        """An empty one, as long as a world lives."""
        if self._free:
            taken = self._free.pop()
            self._empty(taken[0])
        else:
            self._count += 1
            url = self._server.empty(f"world{self._count}")
            leads = self.stack.enter_context(leading(url))
            looks = _Looks(url)
            self.stack.callback(looks.close)
            taken = (leads, looks)
        weakref.finalize(world, self._free.append, taken)
        return taken

    @staticmethod
    def _empty(leads: Leadership) -> None:
        database = Database(JournalUrl.of(leads.journal).url)
        with contextlib.closing(database), database.transaction():
            database.execute(_EMPTY)


@contextlib.contextmanager
def worlds_over(server: Server | Pool, patched: pytest.MonkeyPatch) -> Iterator[None]:
    """Have every world keep its journals in the server's databases."""
    databases = Databases(server)

    def of(around: Any, path: str) -> tuple[Leadership, _Looks]:
        # In the world itself, which they end with.
        mine: dict[str, Any] = vars(around).setdefault("of_tests", {})
        if path not in mine:
            mine[path] = databases.take(around)
        taken: tuple[Leadership, _Looks] = mine[path]
        return taken

    def journal(
        self: VirtualEnvironment,
        journal: str | None,
        fetcher: str,
        remember_s: float,
        keep: Keep | None = None,
    ) -> Any:
        if journal is None:
            return MemoryJournal(self.now, remember_s)
        leads, _ = of(self._around, journal)
        clock = Clock(self.wall, self.now)
        url = JournalUrl.of(leads.journal)
        made = _Journal(url, fetcher, clock, remember_s, keep)
        made.node = self._node
        vars(self._around).setdefault("journals", []).append(made)
        return made

    def close_those_of_the_dead(self: World) -> None:
        mine = vars(self).get("journals", [])
        for each in [each for each in mine if not each.node.alive]:
            if not each.is_writing:  # then it drops the connection itself
                each.close()
            mine.remove(each)

    patched.setattr(Surroundings, "database", lambda self, path: of(self, path)[1])
    patched.setattr(VirtualEnvironment, "journal", journal)
    patched.setattr(World, "_undo", close_those_of_the_dead)
    with databases.stack:
        yield

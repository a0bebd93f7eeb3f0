"""Every store of a journal, for tests that hold over all of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.demand.seen_ids import WINDOW_S
from actors.host.ports import free_port
from actors.journal.file import connect
from actors.journal.postgres_database import is_postgres
from actors.journal.sqlite import Clock, since_boot
from actors.journal.stores import claimed, open_journal
from tests.support import postgres

if TYPE_CHECKING:
    from actors.journal.journal import Journal, Keep

#: The stores that outlive a process.
DURABLE = (
    "sqlite",
    pytest.param("database", marks=pytest.mark.system),
    pytest.param("pooled", marks=pytest.mark.system),
)


class Store:
    """A journal that is claimed, and the runs of its fetchers.

    Attributes:
        name: As ``--journal`` has it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stack = ExitStack()
        self._leads = self._stack.enter_context(claimed(name))

    def open(
        self,
        fetcher: str = "numbers",
        clock: Clock | None = None,
        remember_s: float = WINDOW_S,
        keep: Keep | None = None,
    ) -> Journal:
        """One run of a fetcher."""
        clock = clock or Clock(time.time, time.monotonic, since_boot)
        journal = open_journal(self._leads, fetcher, clock, remember_s, keep)
        self._stack.callback(journal.close)
        return journal

    @contextlib.contextmanager
    def run(self, fetcher: str = "numbers") -> Iterator[Journal]:
        """One run of a fetcher, with its end."""
        journal = self.open(fetcher)
        try:
            yield journal
        finally:
            journal.close()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into it with SQL."""
        if is_postgres(self.name):
            import psycopg  # noqa: PLC0415

            with psycopg.connect(self.name) as db:
                db.execute("SET search_path = lowtide")
                rows: list[tuple[Any, ...]] = db.execute(sql).fetchall()
                return rows
        with contextlib.closing(connect(Path(self.name), read_only=True)) as file:
            return file.execute(sql).fetchall()

    def close(self) -> None:
        """Let go of it, as a system does at its end."""
        self._stack.close()


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server."""
    made = postgres.server_or_skip(free_port())
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pool(server: postgres.Server) -> Iterator[postgres.Pool]:
    """A pgbouncer in front of it."""
    made = postgres.pool_or_skip(server, free_port())
    yield made
    made.close()


@pytest.fixture
def database(server: postgres.Server, request: pytest.FixtureRequest) -> str:
    """An empty database's URL; with the parameter ``pooled`` its pool's."""
    if getattr(request, "param", "direct") == "pooled":
        return str(request.getfixturevalue("pooled"))
    return server.empty("postgres")


@pytest.fixture
def pooled(server: postgres.Server, pool: postgres.Pool) -> str:
    """An empty database's URL at a pool."""
    return pool.url(server.empty("postgres"))


@pytest.fixture
def other(server: postgres.Server) -> str:
    """Another one's."""
    return server.empty("other")


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The store of the parameter, with nothing in it."""
    if request.param == "sqlite":
        name = str(tmp_path / "lowtide.db")
    else:
        name = request.getfixturevalue(request.param)
    made = Store(name)
    yield made
    made.close()

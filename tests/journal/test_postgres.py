"""What only a journal in PostgreSQL meets: a server that goes, or does not answer."""

# ruff: noqa: SLF001 - what is in doubt is nobody else's business

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from actors.demand.job import Job, JobState, Process
from actors.demand.job_events import JobDone, JobFetched, JobLeased
from actors.journal.file import JournalDamagedError
from actors.journal.journal import JournalError, JournalOtherError, Keep
from actors.journal.leadership import Leadership, leading
from actors.journal.postgres import PostgresJournal
from actors.journal.postgres_database import Database, FencedError, JournalUrl
from actors.journal.postgres_schema import LAYOUT, LOCK
from actors.journal.sqlite import Clock
from actors.journal.stores import (
    claimed,
    look_into,
    problem_of,
    reachable,
    shown,
)
from actors.testing.processes import wait_until
from tests.support.stores import pool, pooled, server

if TYPE_CHECKING:
    from tests.support.postgres import Server

__all__ = ["pool", "pooled", "server"]

pytestmark = pytest.mark.system

HERE = Process(name="sqrt-1", run="r1", pid=7, host="here")


@pytest.fixture(params=["direct", "pooled"])
def database(request: pytest.FixtureRequest, server: Server) -> str:
    """An empty one; its own URL, and its pool's."""
    if request.param == "pooled":
        return str(request.getfixturevalue("pooled"))
    return server.empty("postgres")


def new_job(key: int) -> Job:
    return Job(key=key, id=key, payload=key, fetched_at=0.0, own_id=True)


@pytest.fixture
def leads(database: str) -> Iterator[Leadership]:
    with leading(database) as leadership:
        yield leadership


@pytest.fixture
def journal(leads: Leadership) -> Iterator[PostgresJournal]:
    made = PostgresJournal(JournalUrl.of(leads.journal), "numbers")
    yield made
    made.close()


def sql(url: str, text: str, *values: Any) -> list[Any]:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True) as db:
        cursor = db.execute(text, values)
        return cursor.fetchall() if cursor.description else []


def test_whoever_does_not_lead_any_more_writes_nothing(
    leads: Leadership, journal: PostgresJournal, database: str
) -> None:
    journal.commit([JobFetched(new_job(1))])
    sql(database, "UPDATE lowtide.leader SET expires_at = 'epoch'")
    # Nobody has taken over: it leads on.
    journal.commit([JobFetched(new_job(2))])
    assert leads.renew()

    sql(database, "UPDATE lowtide.leader SET expires_at = 'epoch'")
    with leading(database) as other:
        for again in range(2):
            with pytest.raises(FencedError, match="another system leads"):
                journal.commit([JobFetched(new_job(3))], sync=bool(again))
        with pytest.raises(FencedError):
            journal.sync()
        assert not leads.renew()
        theirs = PostgresJournal(JournalUrl.of(other.journal), "numbers")
        assert theirs.take_up().accounting.fetched == 2
        theirs.commit([JobFetched(new_job(3))])
        theirs.close()


def test_a_leader_that_is_silent_is_followed_by_one_of_many(database: str) -> None:
    first = Leadership(database)
    first.prepare()
    assert first.take(first.leader())
    sql(database, "UPDATE lowtide.leader SET expires_at = 'epoch'")
    others = [Leadership(database) for _ in range(6)]
    seen = first.leader()
    took: list[bool] = []
    threads = [
        threading.Thread(target=lambda each=each: took.append(each.take(seen)))
        for each in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(took) == [False] * 5 + [True]
    assert first.leader().term == seen.term + 1
    for each in (first, *others):
        each.close()


@pytest.fixture
def lost_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Have every transaction kept, and its answer lost."""
    whole = Database.transaction

    @contextlib.contextmanager
    def cut_behind(self: Database, *, pipelined: bool = False) -> Iterator[None]:
        with whole(self, pipelined=pipelined):
            yield
        self._drop()
        raise JournalError("the line was cut")

    @contextlib.contextmanager
    def lost() -> Iterator[None]:
        monkeypatch.setattr(Database, "transaction", cut_behind)
        with pytest.raises(JournalError, match="cut"):
            yield
        monkeypatch.setattr(Database, "transaction", whole)

    return lost


@pytest.mark.parametrize("more", [0, 2])
def test_what_was_kept_though_an_error_came_is_kept_once(
    journal: PostgresJournal,
    lost_answer: Callable[[], contextlib.AbstractContextManager[None]],
    more: int,
) -> None:
    jobs = [new_job(key) for key in range(1, 4)]
    events = [JobFetched(job) for job in jobs]
    with lost_answer():
        journal.commit(events[:1])

    journal.commit(events[: 1 + more])
    journal.commit([JobDone(jobs[0], 1, HERE, None, 0.1)])

    taken = journal.take_up()
    assert (taken.accounting.fetched, taken.accounting.done) == (1 + more, 1)
    assert len(journal.load(JobState.READY, 0, 9)) == more


def test_in_doubt_whoever_was_followed_is_told_that(
    leads: Leadership,
    journal: PostgresJournal,
    database: str,
    lost_answer: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    with lost_answer():
        journal.commit([JobFetched(new_job(1))])
    sql(database, "UPDATE lowtide.leader SET expires_at = 'epoch'")
    with leading(database) as other:
        theirs = PostgresJournal(JournalUrl.of(other.journal), "numbers")
        theirs.close()
        assert leads.is_followed()
        with pytest.raises(FencedError):
            journal.commit([JobFetched(new_job(2))])


@pytest.mark.parametrize("by_s", [5000.0, -5000.0])
def test_a_clock_that_was_set_is_heeded_once_though_an_error_came(
    leads: Leadership,
    lost_answer: Callable[[], contextlib.AbstractContextManager[None]],
    by_s: float,
) -> None:
    wall = 1_800_000_000.0
    clock = Clock(lambda: wall, lambda: 7.0)
    journal = PostgresJournal(JournalUrl.of(leads.journal), "numbers", clock)
    job = new_job(1)
    job.attempt = 1
    journal.commit([JobFetched(job), JobDone(job, 1, HERE, None, 0.1)])

    def ended() -> list[Any]:
        return [*journal._db.execute("SELECT ended_at FROM job")]

    [[before]] = ended()
    wall += by_s
    with lost_answer():
        journal.commit([JobFetched(new_job(2))])
    journal.commit([JobFetched(new_job(2))])

    assert ended()[0][0] == before + by_s
    assert journal.known([1]) == {1}
    journal.close()


def test_what_comes_to_its_end_only_when_it_is_tried_again_is_kept_once(
    journal: PostgresJournal, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was given up, and its server was only slow."""
    import psycopg  # noqa: PLC0415

    events = [JobFetched(new_job(1)), JobFetched(new_job(2))]
    journal.commit([JobFetched(new_job(9))])
    with psycopg.connect(database) as slow:
        # What an attempt has done until its connection was cut.
        with monkeypatch.context() as patch:
            patch.setattr(
                Database, "transaction", lambda *_, **__: _raise(JournalError("cut"))
            )
            with pytest.raises(JournalError, match="cut"):
                journal.commit(events[:1])
        [mark] = journal._doubtful
        place = journal._place
        begin = "SELECT lowtide.begin(%s, %s, true, %s, %s, %s)"
        values = (place.holder, place.term, journal._fetcher, journal._mark, mark)
        slow.execute(begin, values)
        slow.execute(
            "INSERT INTO job (fetcher, key, id, own_id, state, fetched_at) "
            "VALUES (%s, 1, '1', 1, 'ready', 0)",
            (journal._fetcher,),
        )
        slow.execute(
            "INSERT INTO payload VALUES ((%s::bigint << 40) + 1, '1')",
            (journal._fetcher,),
        )
        failed: list[JournalError] = []

        def again() -> None:
            with contextlib.suppress(JournalError):
                journal.commit(events)
                return
            failed.append(JournalError())

        thread = threading.Thread(target=again)
        thread.start()
        wait_until(lambda: _waits(database), "it waits for the slow one")
        slow.commit()
        thread.join()

    assert failed
    journal.commit(events)
    assert [job.key for job in journal.load(JobState.READY, 0, 9)] == [1, 2, 9]


def _raise(error: Exception) -> Any:
    raise error


def _waits(url: str) -> bool:
    [[count]] = sql(url, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(count)


def test_a_server_that_died_is_found_again(
    journal: PostgresJournal, server: Server
) -> None:
    events = [JobFetched(new_job(1))]
    journal.commit(events)
    server.stop("immediate")
    try:
        more = [JobFetched(new_job(2))]
        for _ in range(2):
            with pytest.raises(JournalError, match="PostgreSQL"):
                journal.commit(more)
        assert "cannot be written" in str(problem_of(journal._place.url))
    finally:
        server.start()

    def kept() -> bool:
        with contextlib.suppress(JournalError):
            journal.commit(more)
            return True
        return False

    wait_until(kept, "it is kept")
    assert problem_of(journal._place.url) is None
    assert journal.take_up().accounting.fetched == 2


def test_a_server_that_forgot_what_it_had_not_to_sync_is_told_as_that(
    journal: PostgresJournal, server: Server
) -> None:
    server.stop("fast")
    server.start("-c wal_writer_delay=10s")
    job = new_job(1)

    def kept(*events: Any, sync: bool) -> bool:
        with contextlib.suppress(JournalError):
            journal.commit(events, sync=sync)
            return True
        return False

    wait_until(lambda: kept(JobFetched(job), sync=True), "it is kept")
    journal.commit([JobLeased(job, HERE)], sync=False)
    server.stop("immediate")
    server.start()

    def went_back() -> bool:
        try:
            journal.commit([JobFetched(new_job(2))])
        except JournalOtherError:
            return True
        except JournalError:
            return False
        raise AssertionError

    wait_until(went_back, "it says so")


def test_a_server_that_is_deaf_is_given_up_and_found_again(
    journal: PostgresJournal, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal._database._deadline._within_s = 2.0
    journal.commit([JobFetched(new_job(1))])
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(JournalError, match="did not answer"):
            journal.commit([job := JobFetched(new_job(2))])
        assert time.monotonic() - began < 30
    finally:
        server.signal(signal.SIGCONT)

    def kept() -> bool:
        with contextlib.suppress(JournalError):
            journal.commit([job])
            return True
        return False

    wait_until(kept, "it is kept")
    assert journal.take_up().accounting.fetched == 2


def test_a_server_that_takes_no_writes_is_told_and_found_again(
    journal: PostgresJournal, server: Server, database: str
) -> None:
    sql(database, "ALTER SYSTEM SET default_transaction_read_only = on")
    sql(database, "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: problem_of(database) is not None, "it takes no writes")
        assert "read-only" in str(problem_of(database))

        def refused() -> bool:
            with contextlib.suppress(JournalError):
                journal.commit([])
                journal.sync()
                return False
            return True

        wait_until(refused, "a commit is refused")
    finally:
        text = "BEGIN READ WRITE; ALTER SYSTEM RESET default_transaction_read_only"
        server.run(
            "psql",
            "-h",
            str(server.directory),
            "-p",
            str(server.port),
            "-U",
            "lowtide",
            "-c",
            "SET default_transaction_read_only = off",
            "-c",
            text.partition("; ")[2],
            "-c",
            "SELECT pg_reload_conf()",
            "postgres",
        )
    wait_until(lambda: problem_of(database) is None, "it takes writes")
    journal.commit([JobFetched(new_job(1))])


def test_nothing_of_a_session_is_left_behind(
    journal: PostgresJournal, database: str
) -> None:
    """A pool gives each transaction a session, and ours to others."""
    journal.commit([JobFetched(job := new_job(1))])
    journal.commit([JobLeased(job, HERE)], sync=False)
    journal.known([1])
    names = ("search_path", "synchronous_commit", "lock_timeout", "statement_timeout")
    fresh = [sql(database, f"SHOW {name}") for name in names]

    db = journal._database._db
    assert [db.execute(f"SHOW {name}").fetchall() for name in names] == fresh
    assert db.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)


def test_a_journal_of_an_earlier_layout_is_brought_to_this_one(database: str) -> None:
    with leading(database) as before:
        journal = PostgresJournal(JournalUrl.of(before.journal), "numbers")
        journal.commit([JobFetched(new_job(1))])
        journal.close()
    # What layout 1 had not.
    sql(database, "DROP TABLE lowtide.ended, lowtide.changes")
    sql(database, "UPDATE lowtide.layout SET version = 1")
    with contextlib.closing(look_into(database)) as view:
        assert [each["key"] for each in view.find("1")] == [1]
        assert list(view.ended(None, None)) == []

    with leading(database) as leads:
        keep = Keep(60.0, 1 << 20)
        journal = PostgresJournal(JournalUrl.of(leads.journal), "numbers", keep=keep)
        [job] = journal.load(JobState.READY, 0, 9)
        journal.commit([JobDone(job, 1, HERE, "kept", 0.1)])
        journal.close()

    assert sql(database, "SELECT version FROM lowtide.layout") == [(LAYOUT,)]
    assert sql(database, "SELECT result FROM lowtide.ended") == [('"kept"',)]


def test_what_people_changed_is_kept_for_who_takes_over(database: str) -> None:
    with leading(database) as first:
        first.keep()
        assert first.changes == ""
        first.keep_changes("one")

        def kept() -> list[Any]:
            return sql(database, "SELECT value FROM lowtide.changes")

        wait_until(lambda: kept() == [("one",)], "it is kept while it leads")
        # What was not written before the end is written with it.
        first.keep_changes("two")
    with leading(database) as second:
        assert second.changes == "two"
        second.keep_changes("")
    assert kept() == []


def test_who_does_not_lead_any_more_keeps_no_changes(database: str) -> None:
    with leading(database) as first:
        sql(database, "UPDATE lowtide.leader SET expires_at = 'epoch'")
        with leading(database) as second:
            second.keep_changes("theirs")
            first.keep_changes("ours")
            first.give_up()
    assert sql(database, "SELECT value FROM lowtide.changes") == [("theirs",)]


def test_they_end_with_an_orderly_end_for_which_no_other_waits(database: str) -> None:
    waits = Leadership(database)
    for others, left in ((False, ""), (True, "changed")):
        with leading(database) as leads:
            leads.keep_changes("changed")
            leads.ends = True
            if others:
                waits.say_waiting()
        with leading(database) as after:
            assert after.changes == left
            after.keep_changes("")
    waits.close()


@pytest.fixture
def roles(server: Server) -> str:
    """An empty database, where ``jobs`` is a member of ``jobs_group``."""
    url = server.empty("postgres")
    for name in ("jobs", "jobs_group", "stranger"):
        if not sql(url, "SELECT 1 FROM pg_roles WHERE rolname = %s", name):
            sql(url, f"CREATE ROLE {name} LOGIN")
        sql(url, f"GRANT CREATE ON DATABASE postgres TO {name}")
    sql(url, "GRANT jobs_group TO jobs")
    return url


def _as(role: str, url: str) -> str:
    return url.replace("//lowtide@", f"//{role}@")


def test_a_lock_that_a_stranger_holds_is_told_as_that_and_only_where_it_is_needed(
    roles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg  # noqa: PLC0415

    monkeypatch.setattr("actors.journal.leadership.LOCK_S", 1)
    with psycopg.connect(_as("stranger", roles)) as stranger:
        pid = stranger.info.backend_pid
        stranger.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        told = (
            f"another session holds the advisory lock {LOCK}, .* process {pid} of role "
            "stranger$"
        )
        with pytest.raises(JournalDamagedError, match=told), leading(roles):
            pass
        stranger.commit()
        with leading(roles):
            pass
        stranger.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        with leading(roles) as leads:
            assert leads.renew()


def test_what_holds_up_a_take_over_is_told(
    database: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg  # noqa: PLC0415

    with leading(database):
        pass
    monkeypatch.setattr("actors.journal.leadership.LOCK_S", 1)
    with psycopg.connect(server.url()) as other:
        other.execute("SELECT term FROM lowtide.leader FOR KEY SHARE")
        told = f"holds the row of who leads: process {other.info.backend_pid} of role"
        with pytest.raises(JournalDamagedError, match=told), leading(database):
            pass


@pytest.mark.parametrize("we", ["jobs", "lowtide"])
@pytest.mark.parametrize("made", ["schema", "journal"])
def test_a_schema_that_another_role_made_first_is_not_trusted(
    roles: str, we: str, made: str
) -> None:
    if made == "journal":
        with leading(_as("stranger", roles)):
            pass
    else:
        sql(_as("stranger", roles), "CREATE SCHEMA lowtide")
    for each in ("SCHEMA", "ALL TABLES IN SCHEMA"):
        sql(roles, f"GRANT ALL ON {each} lowtide TO jobs")

    with (
        pytest.raises(JournalDamagedError, match="belongs to stranger: expected"),
        leading(_as(we, roles)),
    ):
        pass
    with pytest.raises(JournalDamagedError, match="belongs to stranger: expected"):
        look_into(_as(we, roles))


@pytest.mark.parametrize("owner", ["jobs", "jobs_group", "lowtide"])
def test_a_schema_that_was_made_for_us_is_used(roles: str, owner: str) -> None:
    sql(roles, f"CREATE SCHEMA lowtide AUTHORIZATION {owner}")
    sql(roles, "GRANT ALL ON SCHEMA lowtide TO jobs")

    for _ in range(2):
        with leading(_as("jobs", roles)) as leads:
            PostgresJournal(JournalUrl.of(leads.journal), "numbers").close()
    look_into(_as("jobs", roles)).close()


def test_nothing_in_public_and_no_temporary_table_stands_in_for_ours(
    roles: str,
) -> None:
    sql(
        roles,
        "CREATE OR REPLACE FUNCTION public.pg_advisory_xact_lock(integer) RETURNS void "
        "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'theirs'; END $$",
    )
    try:
        with leading(_as("jobs", roles)) as leads:
            journal = PostgresJournal(JournalUrl.of(leads.journal), "numbers")
            for name in ("job", "payload", "fetcher"):
                text = f"CREATE TEMPORARY TABLE {name} (LIKE lowtide.{name})"
                journal._database._db.execute(text)
            journal.commit([JobFetched(new_job(1))])
            assert [job.key for job in journal.load(JobState.READY, 0, 9)] == [1]
            journal.close()
    finally:
        sql(roles, "DROP FUNCTION public.pg_advisory_xact_lock(integer)")
    assert sql(roles, "SELECT key FROM lowtide.job") == [(1,)]


def test_what_begins_a_transaction_is_brought_to_this_version(database: str) -> None:
    with leading(database):
        pass
    [[text]] = sql(database, "SELECT pg_get_functiondef('lowtide.begin'::regproc)")
    sql(database, text.replace("lowtide, pg_temp", "lowtide").replace("%", "%%"))

    with leading(database):
        [[after]] = sql(database, "SELECT pg_get_functiondef('lowtide.begin'::regproc)")
    assert after == text


def test_a_journal_of_a_newer_version_is_refused(
    leads: Leadership, database: str
) -> None:
    sql(database, "UPDATE lowtide.layout SET version = 99")

    with pytest.raises(JournalDamagedError, match=r"expected layout \d+, found 99"):
        leads.prepare()


def test_a_database_without_a_journal_is_not_taken_for_an_empty_one(
    database: str,
) -> None:
    with pytest.raises(JournalDamagedError, match="there is no journal postgresql://"):
        look_into(database)


def test_without_its_library_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(JournalDamagedError, match=r"pip install 'lowtide\[postgres\]'"):
        claimed("postgresql://host/db").__enter__()


def test_a_password_is_told_to_nobody() -> None:
    url = "postgresql://jobs:sesame%2F1@127.0.0.1:1/db?sslmode=disable"
    leads = JournalUrl(url, "abc", 7)

    assert JournalUrl.of(str(leads)) == leads
    assert "sesame" not in shown(str(leads))
    with pytest.raises(JournalDamagedError) as told:
        look_into(url)
    assert "sesame" not in str(told.value)
    with pytest.raises(JournalDamagedError, match="say --journal"):
        reachable(shown(str(leads)), "lowtide.db")
    assert reachable(shown(str(leads)), url) == url
    # A system answers as whom it writes, which says nothing to a person.
    with pytest.raises(JournalDamagedError, match=r"/db\?sslmode=disable, and no"):
        reachable(str(leads).replace("jobs:sesame%2F1", "***"), None)
    without = JournalUrl("postgresql://127.0.0.1:1/db", "abc", 7)
    assert reachable(str(without), None) == without.url

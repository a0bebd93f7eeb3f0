"""Who leads, of several systems that share a journal in PostgreSQL: one, for a term.

A leader says again every `RENEW_S` that it is there. Who waits takes over when it has
not done so for `TERM_S`, by the clock of the database, and begins another term; from
then on no transaction of an earlier term writes anything. A leader that only could not
say so for a while leads on, if nobody has taken over.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from actors.host import native
from actors.journal.file import JournalDamagedError, JournalInUseError
from actors.journal.journal import JournalError
from actors.journal.postgres_database import Database, JournalUrl, LockedError
from actors.journal.postgres_schema import (
    BEGIN,
    HAS_BEGIN,
    LAYOUT,
    LOCK,
    SCHEMA,
    UPGRADES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How long a leader may be silent before another one takes over, in seconds.
TERM_S = 8.0
#: How often it says that it is there, in seconds.
RENEW_S = 2.0
#: How often who waits looks whether the term is over, in seconds.
LOOK_S = 0.5
#: Who waits says so as often as a leader, and does not any more after so long.
WAITS_S = 3 * RENEW_S

#: How long to wait for what another session holds, in seconds.
LOCK_S = 3

#: Beside the tables of the journal, which it tells nothing of: no layout of its own.
_WAITING = (
    "CREATE TABLE lowtide.waiting (holder text PRIMARY KEY, place text NOT NULL, "
    "at timestamptz NOT NULL)"
)

#: Ends the transactions of a leader whose term is over, where they hang: the server
#: itself does not, in the middle of several statements that were sent together. They
#: are those that hold the row of who leads; and one that has just said again that it
#: leads, in the middle of a long copy perhaps, is spared.
_END_HANGING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE usename = current_user AND pid <> pg_backend_pid() "
    "AND xact_start < clock_timestamp() - interval '5 s' AND pid IN "
    "(SELECT pid FROM pg_locks WHERE relation = 'lowtide.leader'::regclass "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND mode = 'RowShareLock') AND EXISTS (SELECT 1 FROM lowtide.leader "
    "WHERE term = ? AND expires_at <= clock_timestamp())"
)

#: Who holds a lock, as far as everybody may know: the server's processes, and roles.
_HOLDERS = (
    "SELECT pid, usename FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted "
    "AND pid <> pg_backend_pid() AND database = (SELECT oid FROM pg_database "
    "WHERE datname = current_database()) AND "
)
_ADVISORY = "locktype = 'advisory' AND classid = 0 AND objid = ? ORDER BY pid"
_LEADER = (
    "relation = 'lowtide.leader'::regclass AND mode <> 'AccessShareLock' ORDER BY pid"
)


class Leader(NamedTuple):
    """Who leads now, as far as the row tells.

    Attributes:
        term: Grows with each take-over.
        place: For people.
        left_s: Until it is over; below 0 if it is.
    """

    term: int
    place: str
    left_s: float


class Leadership:
    """One start of a system, that wants to lead.

    Attributes:
        lost: Readable once another system leads.
        prepared: Whether the tables were found to be there.
        ends: Whether its end is that of what people changed, where no other waits.
    """

    def __init__(self, url: str) -> None:
        """Note where; nothing is asked yet.

        Raises:
            JournalError: The library is missing.
        """
        self._place = JournalUrl(url, secrets.token_hex(8))
        self._db = Database(url, within_s=TERM_S)
        self.prepared = False
        self.ends = False
        self._say_at = 0.0
        #: What people changed: as it is to be kept, and as it is.
        self._changes = self._kept_changes = ""
        self._over = False
        self._wake = native.Signal()
        self._ended: native.Signal | None = None
        self.lost, self._write_lost = os.pipe()

    @property
    def journal(self) -> str:
        """The journal's name, as the fetchers of this term need it."""
        return str(self._place)

    def prepare(self) -> None:
        """Make the tables if they are missing, and refuse those of another version.

        Raises:
            JournalError: There is no server that takes writes, or it refuses that.
            JournalDamagedError: They are a newer version's, or somebody else's.
        """
        # With no lock where nothing is to be made: any role can hold that for long.
        if not self._is_whole():
            try:
                with self._db.transaction():
                    self._db.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
                    self._db.execute("SELECT pg_advisory_xact_lock(?)", (LOCK,))
                    self._make()
            except LockedError as error:
                raise JournalError(
                    f"another session holds the advisory lock {LOCK}, by which the "
                    f"tables are made: {self._who_holds(_ADVISORY)}"
                ) from error
        self.prepared = True

    def _is_whole(self) -> bool:
        if (reason := self._db.foreign_owner()) is not None:
            raise JournalDamagedError(
                f"the journal {self._place.shown} cannot be used: {reason}"
            )
        if not self._has("layout"):
            return False
        [layout] = self._db.execute("SELECT version FROM lowtide.layout").fetchone()
        if layout != LAYOUT and layout not in UPGRADES:
            raise JournalDamagedError(
                f"the journal {self._place.shown} cannot be used: expected layout "
                f"{LAYOUT}, found {layout}. Nothing was changed in it"
            )
        return self._has("waiting")

    def _make(self) -> None:
        if self._is_whole():
            return  # somebody else was faster
        if not self._has("layout"):
            [schema] = self._db.execute(
                "SELECT to_regnamespace('lowtide') IS NOT NULL"
            ).fetchone()
            # Somebody may have made it for us, who may not make one.
            make = "" if schema else "CREATE SCHEMA lowtide;"
            self._db.execute(make + SCHEMA)
        self._db.execute(_WAITING)

    def _who_holds(self, which: str) -> str:
        rows = self._db.execute(_HOLDERS + which, (LOCK,) * which.count("?"))
        holders = [f"process {pid} of role {role}" for pid, role in rows]
        return ", ".join(holders) or "it has just let go"

    def leader(self) -> Leader:
        """Who leads now.

        Raises:
            JournalError: The database does not answer.
        """
        row = self._db.execute(
            "SELECT term, place, greatest(-1.0, extract(epoch FROM "
            "expires_at - clock_timestamp()))::float8 FROM lowtide.leader"
        ).fetchone()
        if row is None:
            raise JournalError("the row that says who leads is gone")
        return Leader(*row)

    def say_waiting(self) -> None:
        """Let be known that this one waits, if it has not just said so.

        Raises:
            JournalError: It is not kept.
        """
        if (now := time.monotonic()) < self._say_at:
            return
        with self._db.transaction():
            self._db.execute("SET LOCAL synchronous_commit = off")
            self._db.execute(
                "DELETE FROM lowtide.waiting "
                "WHERE at < clock_timestamp() - interval '1 min'"
            )
            self._db.execute(
                "INSERT INTO lowtide.waiting VALUES (?, ?, clock_timestamp()) "
                "ON CONFLICT (holder) DO UPDATE SET at = excluded.at",
                (self._place.holder, _here()),
            )
        self._say_at = now + RENEW_S

    def waiting(self) -> list[str]:
        """Who waits to take over.

        Raises:
            JournalError: The database does not answer.
        """
        if not self._has("waiting"):
            return []
        rows = self._db.execute(
            "SELECT place FROM lowtide.waiting "
            "WHERE at > clock_timestamp() - make_interval(secs => ?) ORDER BY place",
            (WAITS_S,),
        )
        return [place for (place,) in rows]

    def _has(self, table: str) -> bool:
        [there] = self._db.execute(
            "SELECT to_regclass(?) IS NOT NULL", (f"lowtide.{table}",)
        ).fetchone()
        return bool(there)

    def take(self, leader: Leader) -> bool:
        """Lead from now on, if this one's term is over and nobody else was faster.

        Raises:
            JournalError: The database does not answer.
        """
        # Whoever was stopped in the middle of a transaction would hold the key.
        self._db.execute(_END_HANGING, (leader.term,))
        try:
            return self._take(leader)
        except LockedError as error:
            raise JournalError(
                "a transaction that does not end holds the row of who leads: "
                f"{self._who_holds(_LEADER)}. Only one of this role's can be ended here"
            ) from error

    def _take(self, leader: Leader) -> bool:
        with self._db.transaction():
            self._db.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
            row = self._db.execute(
                "UPDATE lowtide.leader SET term = term + 1, holder = ?, place = ?, "
                "expires_at = clock_timestamp() + make_interval(secs => ?) "
                "WHERE term = ? AND expires_at <= clock_timestamp() RETURNING term",
                (self._place.holder, _here(), TERM_S, leader.term),
            ).fetchone()
            if row is not None:
                self._upgrade()
                self._db.execute(
                    "DELETE FROM lowtide.waiting WHERE holder = ?",
                    (self._place.holder,),
                )
                kept = self._db.execute("SELECT value FROM lowtide.changes").fetchone()
                self._changes = self._kept_changes = kept[0] if kept else ""
        if row is None:
            return False
        self._place = self._place._replace(term=row[0])
        return True

    def _upgrade(self) -> None:
        [layout] = self._db.execute("SELECT version FROM lowtide.layout").fetchone()
        for each in range(layout, LAYOUT):
            self._db.execute(UPGRADES[each])
        [is_ours] = self._db.execute(HAS_BEGIN).fetchone()
        if not is_ours:
            self._db.execute(BEGIN)

    @property
    def changes(self) -> str:
        """What people changed, also under those who led before; empty for nothing."""
        return self._changes

    def keep_changes(self, text: str) -> None:
        """Have kept, as soon as it can be, what people changed; empty for nothing."""
        self._changes = text
        self._wake.give()

    def _write_changes(self) -> None:
        if (text := self._changes) == self._kept_changes:
            return
        with self._db.transaction():
            self._db.execute(
                "SELECT lowtide.begin(?, ?, true, NULL, 0, 0)",
                (self._place.holder, self._place.term),
            )
            self._db.execute("DELETE FROM lowtide.changes")
            if text:
                self._db.execute("INSERT INTO changes (value) VALUES (?)", (text,))
        self._kept_changes = text

    def renew(self) -> bool:
        """Say that this one leads still; returns whether it does.

        Raises:
            JournalError: The database does not answer.
        """
        with self._db.transaction():
            self._db.execute("SET LOCAL synchronous_commit = off")
            count = self._db.execute(
                "UPDATE lowtide.leader SET expires_at = clock_timestamp() + "
                "make_interval(secs => ?) WHERE term = ? AND holder = ? RETURNING 1",
                (TERM_S, self._place.term, self._place.holder),
            ).fetchall()
        return bool(count)

    def is_followed(self) -> bool:
        """Whether another system leads, as far as can be known now."""
        with contextlib.suppress(JournalError):
            return self.leader().term != self._place.term
        return False

    def keep(self) -> None:
        """Renew from now on, in a thread, until it is lost or given up."""
        self._ended = native.start(self._keep, "leadership")

    def give_up(self) -> None:
        """Let another one lead at once; nothing of this one writes any more."""
        self._over = True
        self._wake.give()
        if self._ended is not None:
            self._ended.wait(2 * TERM_S)
        with contextlib.suppress(JournalError):
            if self.ends and not self.waiting():
                self._changes = ""
            self._write_changes()
        with contextlib.suppress(JournalError), self._db.transaction():
            self._db.execute(
                "UPDATE lowtide.leader SET expires_at = clock_timestamp() "
                "WHERE term = ? AND holder = ?",
                (self._place.term, self._place.holder),
            )
        self.close()

    def close(self) -> None:
        """Let go of the connection; the term ends by itself."""
        self._over = True
        self._db.close()
        for file in (self.lost, self._write_lost):
            with contextlib.suppress(OSError):
                os.close(file)

    def _keep(self) -> None:
        while not self._over:
            with contextlib.suppress(JournalError):
                if not self.renew():
                    os.write(self._write_lost, b"x")
                    return
                self._write_changes()
            self._wake.wait(RENEW_S)


@contextlib.contextmanager
def leading(
    url: str,
    waits: Callable[[Leader], None] = lambda _: None,
    wait: Callable[[Leadership], None] | None = None,
) -> Iterator[Leadership]:
    """Lead for a while; where a leader was killed, its term's end is waited for.

    Args:
        url: Where.
        waits: Called once where that takes a while.
        wait: Waits in another way, until it leads.

    Raises:
        JournalInUseError: Another system leads.
        JournalDamagedError: The journal cannot be used.
    """
    try:
        leadership = Leadership(url)
    except JournalError as error:
        raise JournalDamagedError(str(error)) from error
    try:
        if wait is None:
            _lead(leadership, waits)
        else:
            wait(leadership)
    except JournalError as error:
        leadership.close()
        shown = JournalUrl.of(url).shown
        raise JournalDamagedError(
            f"the journal {shown} cannot be used: {error}"
        ) from error
    except BaseException:
        leadership.close()
        raise
    try:
        yield leadership
    finally:
        leadership.give_up()


def _lead(leadership: Leadership, waits: Callable[[Leader], None]) -> None:
    leadership.prepare()
    seen = before = leadership.leader()
    if before.left_s > 0:
        waits(before)
    while not (seen.left_s <= 0 and leadership.take(seen)):
        # Somebody who leads says so again; one that was killed does not.
        if seen.term != before.term or seen.left_s > before.left_s:
            raise JournalInUseError(
                f"the journal is in use by another lowtide system ({seen.place}, "
                f"term {seen.term}); run --standby waits to take over from it"
            )
        before = seen
        time.sleep(min(LOOK_S, max(0.0, seen.left_s)))
        seen = leadership.leader()


def wait_to_lead(
    wait: Callable[[str, float], None],
) -> Callable[[Leadership], None]:
    """What waits while another system leads, or the database does not answer.

    Args:
        wait: Waits for some seconds, and is told why; what it raises ends it.
    """

    def lead(leadership: Leadership) -> None:
        while (why := _why_not(leadership)) is not None:
            wait(why, LOOK_S)

    return lead


def _why_not(leadership: Leadership) -> str | None:
    try:
        if not leadership.prepared:
            leadership.prepare()
        seen = leadership.leader()
        if seen.left_s <= 0 and leadership.take(seen):
            return None
        leadership.say_waiting()
    except JournalError as error:
        return str(error)
    return f"{seen.place} leads, term {seen.term}"


def _here() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"

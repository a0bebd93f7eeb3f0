"""Jobs that are alike, as one row of the journal's file: made, cut, and read.

A source that yields pages gives many jobs at once, mostly without an id of their own.
Of these only the payloads differ: they are kept as a *stretch*, the first and the last
of keys that follow one another, with the state that all of them have. What happens to
some of them cuts the stretch. A job to which something of its own happens gets a row of
its own, and keeps that until its end.

Nothing of this is remembered here: what is in the file says it, and a transaction that
fails leaves nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actors.demand.job import Job
    from actors.journal.journal import Statements

#: The first and the last of numbers that follow one another.
Run: TypeAlias = tuple[int, int]

#: Its state, attempt and processor.
Beginning: TypeAlias = tuple[str, int, "str | None"]
#: What a job begins with that nobody has asked for yet.
READY: Beginning = ("ready", 0, None)
#: A job that comes, and what it begins with.
Coming: TypeAlias = tuple["Job", Beginning]

#: A job's place: the number of its fetcher, above so many bits of its key. It is the
#: file's, so the statements have the number itself.
KEY_BITS = 40


class Stretch(NamedTuple):
    """A row.

    Attributes:
        first: Place of the first job.
        last: Of the last one.
        fetched_at: By the wall clock.
    """

    first: int
    last: int
    state: str
    attempt: int
    processor: str | None
    fetched_at: float


_NAMES = ", ".join(Stretch._fields)

#: The stretches that have one of the places from a first to a last. One of them may
#: begin before that first place: at most one, as they do not overlap, and it is the
#: last that does.
_BETWEEN = (
    f"SELECT {_NAMES} FROM stretch WHERE first BETWEEN coalesce("  # noqa: S608
    "(SELECT max(first) FROM stretch WHERE first <= ?), 0) AND ? AND last >= ? "
    "ORDER BY first"
)

_INSERT = f"INSERT INTO stretch ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608

#: The usual lease, of the first that are ready: what remains begins behind them.
_CUT_HEAD = "UPDATE stretch SET first = ? WHERE first = ? AND last > ?"
_LEASE_HEAD = (
    f"INSERT INTO stretch ({_NAMES}) SELECT ?, ?, 'leased', ?, ?, fetched_at "  # noqa: S608
    "FROM stretch WHERE first = ?"
)

_DELETE_WHOLE = "DELETE FROM stretch WHERE first = ? AND last = ?"

_SINGLE_OUT = (
    "INSERT INTO single (fetcher, key, id, own_id, state, attempt, processor, "
    "fetched_at) VALUES (?, ?, ?, 0, ?, ?, ?, ?)"
)

#: Jobs in stretches from after a place on, in order: the place is asked for twice.
STRETCHED = (
    "FROM stretch CROSS JOIN fetcher ON number = first >> 40 "
    "CROSS JOIN payload ON place BETWEEN max(first, 1 + ?) AND last "
    "WHERE first >= coalesce((SELECT max(first) FROM stretch WHERE first <= ?), 0)"
)
#: And these have their ids.
STRETCHED_ID = "'\"#' || (place & 0xffffffffff) || '\"'"
#: The row that each would have of its own.
STRETCHED_JOB = (
    f"place >> 40, place & 0xffffffffff, {STRETCHED_ID}, 0, '', state, attempt, 0, 0, "
    "processor, NULL, fetched_at, NULL, NULL"
)


def outside(of: Run, runs: Iterable[Run]) -> Iterator[Run]:
    """What remains of a run without others, which are in order and apart."""
    first, last = of
    for begin, end in runs:
        if begin > last:
            break
        if begin > first:
            yield first, begin - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last


def count_of(runs: Iterable[Run]) -> int:
    """How many numbers there are in runs."""
    return sum(last - first + 1 for first, last in runs)


class NoStretches:
    """A store in which each job has a row of its own."""

    def __init__(self, db: Statements, fetcher: int) -> None:
        """Nothing is needed."""

    def add(self, jobs: list[Coming], _now: float) -> list[Coming]:
        """Keep jobs that come; returns those that need rows: all of them."""
        return jobs

    def lease(self, runs: list[Run], _attempt: int, _processor: str) -> list[Run]:
        """Hand jobs to a processor; returns those that are elsewhere: all of them."""
        return runs

    def end(self, runs: list[Run]) -> tuple[int, list[Run]]:
        """Forget jobs; returns how many, and those that are elsewhere: all of them."""
        return 0, runs

    def single_out(self, _runs: list[Run]) -> None:
        """See to it that jobs have rows of their own: they have."""

    def make_ready(self) -> None:
        """Take jobs from their processors: there are none."""


class Stretches:
    """One fetcher's stretches, within the transactions of its journal."""

    def __init__(self, db: Statements, fetcher: int) -> None:
        self._db = db
        self._fetcher = fetcher
        self._base = fetcher << KEY_BITS

    def add(self, jobs: list[Coming], now: float) -> list[Coming]:
        """Keep jobs that come, in order; returns those that need rows of their own.

        Args:
            jobs: None with an id of the source's; with what each begins with.
            now: By the wall clock.
        """
        base = self._base
        others: list[Coming] = []
        made: list[Stretch] = []
        first = last = -1
        alike = READY
        for each in jobs:
            job, begins = each
            key = job.key
            if job.route or job.id != f"#{key}":
                others.append(each)
                continue
            if key != last + 1 or begins != alike:
                if first >= 0:
                    made.append(Stretch(base + first, base + last, *alike, now))
                first, alike = key, begins
            last = key
        if first >= 0:
            made.append(Stretch(base + first, base + last, *alike, now))
        self._insert(made)
        return others

    def lease(self, runs: list[Run], attempt: int, processor: str) -> list[Run]:
        """Hand jobs to a processor; returns those that have rows of their own.

        Args:
            runs: Their keys, in order.
            attempt: Which one it is.
            processor: Whose.
        """
        if len(runs) == 1:
            first, last = self._base + runs[0][0], self._base + runs[0][1]
            if self._db.execute(_CUT_HEAD, (last + 1, first, last)).rowcount:
                leased = (first, last, attempt, processor, last + 1)
                self._db.execute(_LEASE_HEAD, leased)
                return []
        taken, others = self._take(runs)
        self._insert(
            [
                each._replace(state="leased", attempt=attempt, processor=processor)
                for each in taken
            ]
        )
        return others

    def end(self, runs: list[Run]) -> tuple[int, list[Run]]:
        """Forget jobs; returns how many, and those that have rows of their own."""
        base, execute = self._base, self._db.execute
        left = [
            (first, last)
            for first, last in runs
            if not execute(_DELETE_WHOLE, (base + first, base + last)).rowcount
        ]
        others = self._take(left)[1]
        return count_of(runs) - count_of(others), others

    def single_out(self, runs: list[Run]) -> None:
        """See to it that jobs have rows of their own."""
        taken, _ = self._take(runs)
        base, number = self._base, self._fetcher
        rows = [
            (number, key, f'"#{key}"', *each[2:])
            for each in taken
            for key in range(each.first - base, each.last - base + 1)
        ]
        if rows:
            self._db.executemany(_SINGLE_OUT, rows)

    def make_ready(self) -> None:
        """Take all jobs from their processors."""
        self._db.execute(
            "UPDATE stretch SET state = 'ready', processor = NULL "
            "WHERE first >= ? AND first < ? AND state = 'leased'",
            (self._base, self._base + (1 << KEY_BITS)),
        )

    def _insert(self, made: list[Stretch]) -> None:
        if made:
            self._db.executemany(_INSERT, made)

    def _take(self, runs: list[Run]) -> tuple[list[Stretch], list[Run]]:
        """Cut jobs out; returns what was cut, and the keys of the others, in order."""
        base = self._base
        taken: list[Stretch] = []
        others: list[Run] = []
        cuts: dict[int, tuple[Stretch, list[Run]]] = {}
        for begin, end in runs:
            first, last = base + begin, base + end
            inside: list[Run] = []
            for row in self._db.execute(_BETWEEN, (first, last, first)).fetchall():
                each = Stretch(*row)
                cut = max(first, each.first), min(last, each.last)
                inside.append(cut)
                taken.append(each._replace(first=cut[0], last=cut[1]))
                cuts.setdefault(each.first, (each, []))[1].append(cut)
            others += [
                (it[0] - base, it[1] - base) for it in outside((first, last), inside)
            ]
        # Once all is read: of one stretch, several runs may have their part.
        for each, cut_out in cuts.values():
            self._cut(each, [*outside(each[:2], cut_out)])
        return taken, others

    def _cut(self, stretch: Stretch, left: list[Run]) -> None:
        if not left:
            self._db.execute("DELETE FROM stretch WHERE first = ?", stretch[:1])
            return
        [(first, last), *others] = left
        self._db.execute(
            "UPDATE stretch SET first = ?, last = ? WHERE first = ?",
            (first, last, stretch.first),
        )
        self._insert([stretch._replace(first=it[0], last=it[1]) for it in others])

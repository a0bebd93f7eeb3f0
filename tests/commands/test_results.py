"""What a program gets of its results, one after another."""

from __future__ import annotations

import pytest

from actors.commands.background import Results
from actors.journal.follow import EndedJob, MissedError


def done(number: int) -> EndedJob:
    moment = "2027-01-15T08:00:00Z"
    return EndedJob(
        fetcher="a", id=number, state="done", payload=None, attempt=1, ended_at=moment
    )


def test_an_iterator_that_has_told_of_a_gap_goes_on_behind_it() -> None:
    results = Results(iter([done(1), MissedError(3), done(5)]))

    assert next(results).id == 1
    with pytest.raises(MissedError) as raised:
        next(results)
    assert raised.value.count == 3
    assert [each.id for each in results] == [5]

"""A process that ends between two of its instructions says nothing more."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from actors.fetcher.fetch_call import Signals
from actors.fetcher.page_call import page_run
from actors.testing.instructions import Instructions, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def _pages() -> Iterator[tuple[list[int], int]]:
    yield [1], 1


def _abandon() -> None:
    # The run is closed where nobody holds on to it any more, by instructions of ours.
    next(iter(page_run(lambda state: _pages(), {}, "null", 9, Signals())))


def test_what_is_closed_on_the_way_out_tells_nobody_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: told.append(repr(seen)))
    whole = Instructions("source", None)
    whole.run(_abandon)

    struck = 0
    for at in range(whole.count):
        steps = Instructions("source", at)
        with contextlib.suppress(Killed):
            steps.run(_abandon)
        struck += steps.struck

    assert struck > whole.count // 2
    assert told == []


def test_another_s_failure_on_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd:
        def __del__(self) -> None:
            raise ValueError

    told: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: told.append(seen.exc_type))

    def act() -> None:
        Odd()

    Instructions("source", None).run(act)

    assert told == [ValueError]

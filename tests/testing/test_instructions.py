"""A process that ends between two of its instructions says nothing more."""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import actors
from actors.fetcher.fetch_call import Signals
from actors.fetcher.page_call import page_run
from actors.testing.instructions import Instructions, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Where code of ours would be.
OURS = Path(actors.__file__).parent / "fetcher" / "made_up.py"
CODE = """
def add(some):
    total = 0
    for each in some:
        total += each
        yield total

def act():
    return list(add([1, 2, 3]))
"""


def _pages() -> Iterator[tuple[list[int], int]]:
    yield [1], 1


def _abandon() -> None:
    # The run is closed where nobody holds on to it any more, by instructions of ours.
    next(iter(page_run(lambda state: _pages(), {}, "null", 9, Signals())))


def test_code_has_as_many_instructions_each_time() -> None:
    made: dict[str, Any] = {}
    exec(compile(CODE, OURS, "exec"), made)  # noqa: S102 - nobody has run it before

    counts = []
    for at in (None, None, 20, None):
        steps = Instructions("source", at)
        with contextlib.suppress(Killed):
            steps.run(made["act"])
        counts.append(steps.count)

    first, second, struck, last = counts
    assert first == second == last > struck == 21


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

    assert struck == whole.count > 0
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


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_file_that_is_left_open_by_the_end_is_told_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    made: dict[str, Any] = {"path": tmp_path / "file"}
    code = "def act():\n    file = open(path)\n    len('')\n    file.close()\n"
    exec(compile(code, OURS, "exec"), made)  # noqa: S102 - as ours
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda seen: told.append(repr(seen)))
    whole = Instructions("source", None)
    whole.run(made["act"])

    for at in range(whole.count):
        with contextlib.suppress(Killed):
            Instructions("source", at).run(made["act"])

    assert told == []


def test_what_others_have_left_is_not_closed_among_its_instructions() -> None:
    closed: list[int] = []

    def left() -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.append(1)

    def act() -> None:
        kept: list[Any] = [[] for _ in range(5000)]
        kept.append(kept)

    gc.collect()
    cycle: list[Any] = [left()]
    next(cycle[0])
    cycle.append(cycle)
    del cycle
    Instructions("source", None).run(act)
    meanwhile = closed.copy()
    gc.collect()

    assert (meanwhile, closed) == ([], [1])
    assert gc.isenabled()

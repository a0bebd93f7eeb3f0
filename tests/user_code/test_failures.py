from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from actors.user_code.failures import (
    LONGEST_ERROR,
    LONGEST_TRACE,
    LONGEST_WAIT_S,
    describe,
)
from tests.support.spooled import UNSAYABLE, MuteError


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 - for its traceback
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        return caught


class OddText(str):
    __slots__ = ()

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError

    def __format__(self, _: str) -> str:
        raise RuntimeError


class OddTextError(Exception):
    def __str__(self) -> str:
        return OddText("fine")


class OddSayingsError(Exception):
    @property
    def permanent(self) -> Any:
        sys.exit()

    @property
    def retry_after_s(self) -> Any:
        return OddNumber(2.5)


class OddNumber(float):
    def __ge__(self, other: object) -> bool:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (lambda: UNSAYABLE.with_traceback(None), "SyntaxError: unexpected"),
        (MuteError, "MuteError: its text cannot be had"),
        (OddTextError, "OddTextError: fine"),
        (OddSayingsError, "OddSayingsError: "),
        (partial(SystemExit, 3), "SystemExit: 3"),
        (KeyboardInterrupt, "KeyboardInterrupt: "),
    ],
    # What cannot be asked for its name is not to be asked by pytest.
    ids=["syntax", "mute", "text", "sayings", "exit", "interrupt"],
)
def test_any_exception_can_be_described(
    error: Callable[[], BaseException], line: str
) -> None:
    failure = describe(raised(error()))

    assert failure.error.startswith(line)
    assert (failure.permanent, failure.retry_after_s) == (False, None)
    assert "in raised" in failure.trace


def test_a_cause_that_cannot_be_described_costs_the_trace_no_more_than_itself() -> None:
    error = ValueError("fine")
    error.__cause__ = raised(UNSAYABLE.with_traceback(None))

    failure = describe(raised(error))

    assert failure.error == "ValueError: fine"
    assert "in raised" in failure.trace


def test_a_long_text_is_cut_and_keeps_its_class() -> None:
    failure = describe(raised(ValueError("x" * 30_000_000)))

    assert failure.error.startswith("ValueError: xxx")
    assert failure.error.endswith("x... (30000012 characters)")
    assert len(failure.error) < LONGEST_ERROR + 100
    assert len(failure.trace) < LONGEST_TRACE + 100
    assert "in raised" in failure.trace


def test_a_number_of_seconds_may_be_of_a_subclass() -> None:
    class Seconds(float):
        pass

    class LaterError(Exception):
        retry_after_s = Seconds(1.5)

    assert type(describe(LaterError()).retry_after_s) is float


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (float("inf"), LONGEST_WAIT_S),
        (10**400, LONGEST_WAIT_S),
        (0, 0.0),
        (float("nan"), None),
        (-1.0, None),
        ("30", None),
        (True, None),
    ],
)
def test_a_wait_is_from_nothing_to_a_month(said: Any, waits: float | None) -> None:
    error = ValueError()
    error.retry_after_s = said  # type: ignore[attr-defined]

    assert describe(error).retry_after_s == waits

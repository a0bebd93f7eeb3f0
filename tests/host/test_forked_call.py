"""A function in a process of its own: whatever it does there, the caller goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from actors.host.forked_call import Call


def answer_of(function: Callable[[], str], within_s: float) -> str:
    return Call(function, within_s).wait(within_s + 1.0) or ""


def hangs() -> str:
    while True:
        signal.pause()


def ends_its_process() -> str:
    os._exit(3)


def raises() -> str:
    raise SystemExit


def test_what_it_returns_is_told_however_long_it_is() -> None:
    text = "é" * 1_000_000  # a pipe takes 64 KiB

    assert answer_of(lambda: text, 60) == text


def test_it_runs_in_another_process() -> None:
    assert answer_of(lambda: str(os.getpid()), 60) != str(os.getpid())


def test_a_process_that_it_leaves_behind_is_not_waited_for() -> None:
    reader, writer = os.pipe()

    def leaves_one_behind() -> str:
        if os.fork() == 0:
            os.close(writer)
            os.read(reader, 1)  # until the test closes its end
            os._exit(0)
        return "said"

    try:
        assert answer_of(leaves_one_behind, 60) == "said"
    finally:
        os.close(writer)
        os.close(reader)


def test_one_that_hangs_is_given_up() -> None:
    began = time.monotonic()

    answer = answer_of(hangs, 0.2)

    assert answer == ""
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("function", [ends_its_process, raises])
def test_one_that_does_not_return_has_no_answer(function: Callable[[], str]) -> None:
    assert answer_of(function, 60) == ""

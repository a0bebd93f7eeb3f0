"""Hooks' functions: each behind a queue of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from actors.hooks import callers
from actors.hooks.callers import Callers
from actors.hooks.event_queue import Message, message_of

if TYPE_CHECKING:
    import pytest


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


def made(
    hooks: dict[str, list[str]],
    functions: Mapping[str, Callable[[Any], object]],
    log: Log,
) -> Callers:
    return Callers(hooks, functions.__getitem__, log)


def event(name: str, number: int = 0, count: int = 1) -> Message:
    together = [{"event": name, "number": number} for _ in range(count)]
    return Message(message_of({}, [(name, together)]))


def test_each_is_called_with_its_events_in_order() -> None:
    done: list[int] = []
    every: list[str] = []
    functions = {
        "m:done": lambda each: done.append(each["number"]),
        "m:all": lambda each: every.append(each["event"]),
    }
    hooks = {"done": ["m:done", "m:all"], "all": ["m:all"]}
    them = made(hooks, functions, Log())

    for number in range(3):
        them.put(event("done", number))
    them.put(event("failed"))
    them.close(30)

    assert done == [0, 1, 2]
    assert every == ["done"] * 3 + ["failed"]


def test_one_that_raises_is_told_once_and_called_again() -> None:
    called = []

    def raises(each: Any) -> None:
        called.append(each)
        raise SystemExit("no")

    log = Log()
    them = made({"done": ["m:raises"]}, {"m:raises": raises}, log)

    for number in range(5):
        them.put(event("done", number))
    them.close(30)

    assert len(called) == 5
    [(what, fields)] = log.lines
    assert (what, fields["hook"], fields["count"]) == ("hook.failed", "m:raises", 1)


def test_one_that_hangs_misses_events_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "MOST", 10)
    go_on = threading.Event()
    seen: list[int] = []
    all_seen = threading.Event()

    def sees(each: Any) -> None:
        seen.append(each["number"])
        if len(seen) == 5:
            all_seen.set()

    log = Log()
    functions = {"m:hangs": lambda _: go_on.wait(60), "m:sees": sees}
    them = made({"done": ["m:hangs"], "failed": ["m:sees"]}, functions, log)

    for number in range(50):
        them.put(event("done", number))
    for number in range(5):
        them.put(event("failed", number))

    assert all_seen.wait(30)
    assert [what for what, _ in log.lines] == ["hook.missed"]
    go_on.set()
    them.close(30)


def test_each_function_has_an_event_of_its_own() -> None:
    seen: list[dict[str, Any]] = []

    def spoils(each: dict[str, Any]) -> None:
        each["number"] += 1
        seen.append(each)

    functions = {"m:one": spoils, "m:other": spoils}
    them = made({"done": ["m:one", "m:other"]}, functions, Log())

    them.put(event("done", 1))
    them.close(30)

    assert [each["number"] for each in seen] == [2, 2]


def test_what_comes_together_is_left_out_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callers, "MOST", 10)
    monkeypatch.setattr(callers, "TOLD_EVERY_S", 0.0)
    go_on = threading.Event()
    log, seen = Log(), []

    def hangs(each: Any) -> None:
        go_on.wait(60)
        seen.append(each)

    them = made({"done": ["m:hangs"]}, {"m:hangs": hangs}, log)

    for _ in range(5):
        them.put(event("done", count=4))
    go_on.set()
    them.close(30)

    missed = sum(fields["count"] for _, fields in log.lines)
    assert (len(seen), missed) == (8, 12)

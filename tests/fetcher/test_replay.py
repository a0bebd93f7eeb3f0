"""How much of a journal is left is told while it lasts."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from actors.fetcher.replay import TOLD_EVERY_S, Backlog
from actors.journal.memory import MemoryJournal


def test_what_is_left_is_told_now_and_then_and_that_it_is_through() -> None:
    with capture_logs() as told:
        backlog = Backlog(MemoryJournal(), structlog.get_logger())
        backlog.tell(900, 0.0)
        backlog.tell(700, TOLD_EVERY_S - 0.1)
        backlog.tell(600, TOLD_EVERY_S)
        backlog.tell(500, TOLD_EVERY_S + 1)
        backlog.tell(0, TOLD_EVERY_S + 2)

    assert told == [
        {"event": "journal.replaying", "left": 600, "log_level": "info"},
        {"event": "journal.replayed", "log_level": "info"},
    ]

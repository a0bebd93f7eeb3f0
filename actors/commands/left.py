"""What the journal says of jobs when no fetcher is there to ask.

Apart from the main process, since it asks before the first stage is there, and
again when one has died or hangs: the journal is all that there is to read then.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from actors.journal.file import JournalDamagedError
from actors.journal.view import JournalView

if TYPE_CHECKING:
    from actors.config.model import SystemConfig


def next_number(config: SystemConfig) -> int:
    """The number that the bundled source is to begin with."""
    # A number server that starts anew would count from 1 again, and the journal
    # would know its numbers from the run before.
    if config.journal is None:
        return 1
    with contextlib.closing(JournalView(Path(config.journal))) as journal:
        return 1 + journal.highest_id()


def left_in_journal(config: SystemConfig) -> int:
    """How many jobs of the system's fetchers are left; 1 if nobody can tell."""
    try:
        left = left_by_fetcher(config)
    except JournalDamagedError:
        return 1  # it cannot be read: nobody may say that nothing is left
    return sum(left.get(each.name, 0) for each in config.fetchers)


def left_by_fetcher(config: SystemConfig) -> dict[str, int]:
    """How many jobs are left, by fetcher; of fetchers, too, that there are no more.

    Raises:
        JournalDamagedError: It cannot be read.
    """
    if config.journal is None:
        return {}
    with contextlib.closing(JournalView(Path(config.journal))) as journal:
        return journal.left()

"""Looks whether the journal may grow, and tells where that has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from actors.fetcher.commit_queue import Keeper
    from actors.journal.quota import Quota


def look_at_size(
    quota: Quota, keeper: Keeper, log: FilteringBoundLogger, now: float
) -> None:
    """Look at the journal's size, if there is a limit and it is time.

    Raises:
        JournalError: It cannot be read.
    """
    if not quota.is_due(now):
        return
    before = quota.is_reached
    quota.saw(keeper.size(), now)
    if quota.is_reached and not before:
        log.error("journal.full", most_bytes=quota.most_bytes)
    elif before and not quota.is_reached:
        log.info("journal.has_room")

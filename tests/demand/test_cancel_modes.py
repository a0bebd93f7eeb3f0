"""What becomes of a processor whose source ends: GenStage's table."""

from __future__ import annotations

import pytest

from actors.demand.cancel_modes import MODES, Fate, Follow, follow

STAY, LEAVE, RESTART = Follow.STAY, Follow.LEAVE, Follow.RESTART


@pytest.mark.parametrize(
    ("mode", "left", "died", "given_up"),
    [
        ("temporary", STAY, STAY, STAY),
        ("transient", STAY, RESTART, RESTART),
        ("permanent", LEAVE, RESTART, RESTART),
    ],
)
def test_the_mode_says_what_follows_from_the_end_of_a_source(
    mode: str, left: Follow, died: Follow, given_up: Follow
) -> None:
    fates = Fate.REMOVED, Fate.RESTART, Fate.FATAL

    assert [follow(mode, fate) for fate in fates] == [left, died, given_up]


@pytest.mark.parametrize("mode", MODES)
def test_an_end_that_is_told_twice_is_followed_once(mode: str) -> None:
    assert follow(mode, Fate.UNKNOWN) is STAY

"""How often a refusal is told."""

from __future__ import annotations

from actors.host.frames import Quiet, Refusal


def test_a_refusal_is_told_once_and_counted() -> None:
    quiet = Quiet(every_s=60.0)

    told = [quiet.note(Refusal.FORGED, now) for now in (0.0, 1.0, 2.0, 61.0, 62.0)]

    assert told == [1, None, None, 3, None]
    assert quiet.note(Refusal.GARBLED, 62.0) == 1

"""How often a test does the same: often only where the slow ones are run as well."""

from __future__ import annotations

import os

_OFTEN = bool(os.environ.get("TEST_SLOW"))


def times(few: int, often: int) -> int:
    """How often: ``often`` by scripts/check, whose time that is."""
    return often if _OFTEN else few

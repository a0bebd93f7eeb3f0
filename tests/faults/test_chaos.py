"""What the chaos script takes for a good end, and for none."""

from __future__ import annotations

from collections import Counter

import pytest
from chaos import codes_explained


@pytest.mark.parametrize(
    ("struck", "codes"),
    [
        ([], {0, 4}),
        (["processor", "root", "pause"], {0, 4}),
        (["admin"], {0, 1, 4, -15}),
        # The admin's end takes its time where the machine is busy.
        (["admin", "processor", "pause"], {0, 1, 4, -15}),
        (["root"] * 4, {0, 4, 5}),
        (["fetcher", "processor"] * 3, {0, 4}),
        (["fetcher", "fetcher", "pause", "pause"], {0, 4, 5}),
    ],
)
def test_an_end_is_explained_by_all_that_was_done_since_the_start(
    struck: list[str], codes: set[int]
) -> None:
    assert codes_explained(Counter(struck)) == codes

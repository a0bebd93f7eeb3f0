"""What goes wrong elsewhere: each complaint has a test of what happens here."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

TEXT = (ROOT / "docs" / "elsewhere.md").read_text()
TESTS = re.findall(r"^`(tests/\S+\.py)::(test_\w+)`$", TEXT, re.MULTILINE)


def test_each_of_the_fifteen_names_a_test() -> None:
    complaints = re.split(r"^\*\*\d+\. ", TEXT, flags=re.MULTILINE)[1:]

    assert len(complaints) == 15
    assert [each[:40] for each in complaints if "::test_" not in each] == []
    assert len(TESTS) == len(set(TESTS)) == 15


def test_each_test_that_is_named_is_there() -> None:
    missing = [
        name
        for file, name in TESTS
        if not (ROOT / file).exists()
        or not re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]

    assert missing == []

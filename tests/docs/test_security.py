"""The trust model names tests that are there, and the lock has hashes."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT


def test_each_line_of_the_trust_model_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]

    tried = [re.findall(r"`([a-z_/]+(?:\.py|/))`", row.split("|")[-2]) for row in rows]

    assert len(rows) > 15
    assert [row for row, names in zip(rows, tried, strict=True) if not names] == [
        rows[0]  # the user is trusted: there is nothing to try
    ]
    missing = {n for names in tried for n in names if not (ROOT / n).exists()}
    assert missing == set()


def test_whatever_the_image_installs_is_pinned_by_version_and_hash() -> None:
    lock = (ROOT / "docs" / "deploy" / "requirements.lock").read_text()
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]

    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+", entry)
        assert "--hash=sha256:" in entry
    assert "://" not in lock

"""The trust model names tests that are there, and the lock has hashes."""

from __future__ import annotations

import configparser
import re

import pytest
from packaging.requirements import Requirement

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


LOCKS = {"all": "docs/deploy/requirements.lock", "dev": ".ci/requirements.lock"}


def pins(lock: str) -> dict[str, str]:
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    matched = [re.match(r"([a-z0-9-]+)==([^\s;]+)", entry) for entry in entries]
    assert None not in matched
    return {found[1]: found[2] for found in matched if found is not None}


@pytest.mark.parametrize("extra", LOCKS)
def test_what_is_installed_by_a_lock_is_pinned_by_version_and_hash(extra: str) -> None:
    lock = (ROOT / LOCKS[extra]).read_text()

    assert len(pins(lock)) > 10
    assert "://" not in lock


@pytest.mark.parametrize("extra", LOCKS)
def test_a_lock_has_what_is_asked_for(extra: str) -> None:
    pinned = pins((ROOT / LOCKS[extra]).read_text())

    # scripts/lock writes them anew.
    for each in required(extra):
        name = re.sub(r"[-_.]+", "-", each.name).lower()
        assert name in pinned, f"{each} is in no lock: scripts/lock"
        assert pinned[name] in each.specifier, f"{each} is not {pinned[name]}"


def required(extra: str) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    of_extras = config["options.extras_require"]
    found = [*map(Requirement, lines_of(config["options"]["install_requires"]))]
    for each in map(Requirement, lines_of(of_extras[extra])):
        if each.name == "lowtide":
            found += [more for name in each.extras for more in required(name)]
        else:
            found.append(each)
    return found


def lines_of(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]

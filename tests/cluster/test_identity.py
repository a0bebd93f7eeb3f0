"""Where machines meet, with which key, and with which code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from actors.cluster import identity
from actors.config.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "port", "expected"),
    [
        ("web1:4570", None, ("web1", 4570)),
        ("web1", 4570, ("web1", 4570)),
        ("10.0.0.1:99", 4570, ("10.0.0.1", 99)),
        ("[fd00::1]:99", None, ("fd00::1", 99)),
        ("fd00::1", 4570, ("fd00::1", 4570)),
        ("[fd00::1]", 4570, ("fd00::1", 4570)),
    ],
)
def test_a_place_is_a_host_and_a_port(
    text: str, port: int | None, expected: tuple[str, int]
) -> None:
    assert identity.read_host_port(text, port, "--bind") == expected


@pytest.mark.parametrize(
    "text", ["web1", ":99", "web1:", "web1:x", "web1:0", "a:70000"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the leader must"):
        identity.read_host_port(text, None, "the leader")


def test_a_place_is_written_as_it_is_read() -> None:
    for text in ("web1:4570", "[fd00::1]:99"):
        assert str(identity.read_host_port(text, None, "x")) == text


def test_the_version_of_code_is_told_by_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lt_some_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def version() -> str:
        identity.version_of.cache_clear()
        return identity.version_of("lt_some_package.part")

    first = version()
    (package / "notes.txt").write_text("no code")
    same = version()
    (package / "part.py").write_text("x = 2\n")
    changed = version()
    (package / "more.py").write_text("")
    grown = version()

    assert re.fullmatch(r"no version \([0-9a-f]{12}\)", first)
    assert first == same
    assert len({first, changed, grown}) == 3


def test_what_is_installed_says_its_version_too() -> None:
    assert identity.version_of("pytest").startswith(f"{pytest.__version__} (")


def test_what_is_not_there_has_no_version() -> None:
    assert identity.version_of("lt_nowhere") == "no version (not there)"
    assert "lt_nowhere" not in sys.modules

"""Where machines meet, with which key, and with which code."""

from __future__ import annotations

import os
import re
import secrets
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


GOOD = "a key of all machines, 32 bytes or more"


@pytest.mark.parametrize(
    "key",
    [
        *("0" * 32, "0" * 64, "01" * 32, "0123456789abcdef" * 4, "abc" * 20),
        "".join(map(chr, range(40, 100))),
    ],
)
def test_a_key_that_anybody_guesses_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", key)

    with pytest.raises(ConfigError, match="that nobody guesses") as refused:
        identity.read_key(None)

    assert key not in str(refused.value)


def test_keys_as_people_make_them_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (GOOD, *(secrets.token_hex(32) for _ in range(200))):
        monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", key)
        assert identity.read_key(None) == key.encode()


@pytest.mark.parametrize("what", ["another's", "a pipe", "a directory", "open to all"])
def test_a_key_that_somebody_else_may_have_chosen_or_read_is_not_even_read(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOWTIDE_CLUSTER_KEY", raising=False)
    path = tmp_path / "key"
    if what == "a pipe":
        os.mkfifo(path, 0o600)
    elif what == "a directory":
        path.mkdir(0o700)
    else:
        # Too short: it would be told if it were read.
        path.write_text("short")
        path.chmod(0o644 if what == "open to all" else 0o600)
    if what == "another's":
        if os.geteuid():
            pytest.skip("takes root")
        os.chown(path, 65534, -1)

    with pytest.raises(ConfigError, match=r"must be|must belong") as refused:
        identity.read_key(str(path))

    assert "at least" not in str(refused.value)

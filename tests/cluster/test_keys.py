"""The cluster's key, and those of machines that are made of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from actors.cluster import keys
from actors.config.errors import ConfigError
from actors.main import main

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
        keys.read_key(None)

    assert key not in str(refused.value)


def test_keys_as_people_make_them_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (GOOD, *(secrets.token_hex(32) for _ in range(200))):
        monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", key)
        assert keys.read_key(None) == keys.Key(key.encode())


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
        keys.read_key(str(path))

    assert "at least" not in str(refused.value)


# A machine's key.


def test_a_machines_key_is_printed_and_read_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", GOOD)
    assert main(["key", "web 1:ä"]) == 0
    text = capsys.readouterr().out.strip()
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", text)

    key = keys.read_key(None)

    assert key == keys.Key(GOOD.encode()).of("web 1:ä")
    assert key.machine == "web 1:ä"
    assert GOOD.encode().hex() not in text


def test_each_machine_has_its_own_key_and_always_the_same() -> None:
    key = keys.Key(GOOD.encode())

    made = {key.of(name) for name in ("one", "two", "on", "e") for _ in range(2)}

    assert len({each.secret for each in made}) == len(made) == 4
    assert key.of("one") != keys.Key(GOOD.encode() + b"x").of("one")


def test_a_machines_key_leads_nobody_and_makes_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = keys.Key(GOOD.encode()).of("web1").text()
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", text)

    with pytest.raises(ConfigError, match="the key of machine 'web1'") as refused:
        keys.read_cluster_key(None)
    assert main(["key", "web2"]) == 2

    assert text[20:40] not in str(refused.value) + capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["", "00", "00" * 32, "00" * 31 + ":web1", "zz" * 32 + ":web1", "ff" * 32 + ":"],
)
def test_a_machines_key_that_is_not_whole_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", f"lowtide-join:{text}")

    with pytest.raises(ConfigError, match="must hold a whole line of lowtide key"):
        keys.read_key(None)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "a\nb", "\U0001f30a" * 64])
def test_a_name_that_is_none_has_no_key(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOWTIDE_CLUSTER_KEY", GOOD)

    assert main(["key", name]) == 2
    assert "NAME must be of 1 to 64 characters" in capsys.readouterr().err

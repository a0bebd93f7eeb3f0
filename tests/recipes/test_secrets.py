"""No recipe shows what it takes from the environment, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.host import redaction
from actors.main import main
from domain import api
from domain.api.formats import has_feedparser
from tests.apis import kinds
from tests.apis.base import served
from tests.apis.recipes import RECIPES, VARIABLES, text_of

NAMES = sorted(each.stem for each in RECIPES.glob("*.toml"))
CANARY = "c4nary-value"


@pytest.fixture(autouse=True)
def _around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.setenv(name, f"{CANARY}-{name.lower()}")
    monkeypatch.setenv("LOWTIDE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(api, "_sessions", {})
    monkeypatch.chdir(tmp_path)
    yield
    redaction.install([])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words", [["check"], ["check", "--show"], ["try"]])
def test_a_recipe(
    name: str, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if name == "atom" and not has_feedparser():
        pytest.skip("the extra feeds is not installed")
    with served(kinds.Stripe()) as server:  # which refuses them all
        path = tmp_path / "recipe.toml"
        path.write_text(text_of(name, server))

        code = main([*words, "--config", str(path)])

        told = capsys.readouterr()
        assert code == (1 if words == ["try"] else 0), told
        assert CANARY not in told.out + told.err
        assert len(server.asked) == (1 if words == ["try"] else 0)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_set_is_named_with_its_line(
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "atom" and not has_feedparser():
        pytest.skip("the extra feeds is not installed")
    for variable in VARIABLES:
        monkeypatch.delenv(variable)
    text = (RECIPES / f"{name}.toml").read_text()
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    wanted = [each for each in VARIABLES if f"env:{each}}}" in text]

    code = main(["check", "--config", str(path)])

    told = capsys.readouterr().err
    assert (code == 2) == bool(wanted)
    for each in wanted:
        line = 1 + text[: text.index(f"env:{each}}}")].count("\n")
        assert f"recipe.toml:{line}: options." in told
        assert f"wants {each} from the environment" in told

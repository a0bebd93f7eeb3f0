"""The recipes of the docs, pointed at a server on loopback."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.config.build import build
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.testing.harness import Harness
from domain import api

if TYPE_CHECKING:
    from actors.config.model import SystemConfig
    from tests.apis.base import Api

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
#: What the recipes take from the environment.
VARIABLES = {
    "GITHUB_TOKEN": "ghp_canary",
    "STRIPE_KEY": "sk_test_canary",
    "SLACK_TOKEN": "xoxb_canary",
    "ZENDESK_USER": "user_canary",
    "ZENDESK_TOKEN": "zendesk_canary",
    "SHOPIFY_TOKEN": "shpat_canary",
    "DESK_KEY": "desk_canary",
    "CLIENT_ID": "me",
    "CLIENT_SECRET": "secret-canary",
}


def text_of(name: str, server: Api, *changes: tuple[str, str]) -> str:
    """A recipe, with a server of ours in the place of the real one."""
    text = (RECIPES / f"{name}.toml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return re.sub(r'(?<=")https://[^/"]+', server.url, text)


def config_of(text: str) -> SystemConfig:
    """The configuration of a recipe, to run in the harness."""
    content: dict[str, Any] = tomllib.loads(text)
    file = ConfigFile(Path("recipe.toml"), content, text)
    settings = resolve({"process": "x:process", "journal": "lowtide.db"}, {}, file)
    config = build(settings, file)
    fetchers = [replace(each, settle="domain.api:settle") for each in config.fetchers]
    return replace(config, fetchers=tuple(fetchers))


def pipeline_of(
    text: str, ran: list[Any] | None = None, *, process_s: float = 0.0
) -> Harness:
    """A harness that runs a recipe, and notes each job when it is run."""
    noted = [] if ran is None else ran

    def process(job: Any) -> Any:
        noted.append(job)
        return job

    functions: dict[str, Any] = {"x:process": process, "domain.api:settle": api.settle}
    return Harness(
        api.fetch, process_s=process_s, config=config_of(text), functions=functions
    )

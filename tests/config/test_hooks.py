"""The table ``[hooks]`` and the setting ``notify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors import Fetcher, Pipeline
from actors.config.build import build
from actors.config.errors import ConfigError
from actors.config.named_functions import hook_problems, notify_problem
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve

if TYPE_CHECKING:
    from actors.config.model import SystemConfig


def config_of(text: str, tmp_path: Path) -> SystemConfig:
    path = tmp_path / "lowtide.toml"
    path.write_text(text)
    file = ConfigFile.read(path)
    return build(resolve({}, {}, file), file)


def test_hooks_are_named_by_event(tmp_path: Path) -> None:
    text = '[hooks]\ndone = "m:f"\nfailed = ["m:f", "m:g"]\n'

    config = config_of(text, tmp_path)

    assert config.hooks == {"done": ("m:f",), "failed": ("m:f", "m:g")}
    assert config.hooked == {"done", "failed"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hooks = 3", ":1: expected a table"),
        ('[hooks]\ndoen = "m:f"', ":2: unknown event 'doen' .* done"),
        ("[hooks]\ndone = 3", ":2: done: expected MODULE:FUNCTION"),
        ('[hooks]\ndone = ["f"]', ":2: done: expected MODULE:FUNCTION"),
        ('notify = "json://h"', ":1: notify must be a list of URLs"),
        ('notify = ["h"]', ":1: notify must be a list of URLs"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    text: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        config_of(text, tmp_path)


def test_a_function_that_is_not_there_or_takes_no_event_is_told(tmp_path: Path) -> None:
    text = '[hooks]\ndone = "nowhere:f"\nfailed = "os:getpid"\nall = "builtins:print"\n'

    told = dict(hook_problems(config_of(text, tmp_path)))

    assert set(told) == {"done", "failed"}
    assert "os:getpid(event)" in told["failed"] or "getpid(event)" in told["failed"]


def test_notify_is_a_hook_of_ours_and_a_secret(tmp_path: Path) -> None:
    config = config_of('notify = ["json://h"]', tmp_path)

    assert config.hooked == {"quarantined", "faulted", "fatal"}
    assert config.for_machines().notify is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_where_no_message_can_be_sent_to_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("apprise")
    told = notify_problem(config_of('notify = ["json://h", "jsn://h"]', tmp_path))

    assert told == "notify: apprise cannot use a URL like jsn:..."
    assert notify_problem(config_of('notify = ["json://h"]', tmp_path)) is None
    with pytest.raises(ConfigError, match=r"^Pipeline: notify: apprise cannot use"):
        Pipeline([Fetcher(fetch)], notify=["jsn://h"])
    assert not caplog.records  # the library would show what may be a secret


def fetch() -> None:
    return None


def told(event: object) -> None:
    return None


def test_a_program_gives_functions() -> None:
    pipeline = Pipeline([Fetcher(fetch)], hooks={"done": told, "failed": [told]})

    name = f"{__name__}:told"
    assert pipeline.config.hooks == {"done": (name,), "failed": (name,)}


def test_a_hook_of_the_program_itself_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"Pipeline, hooks: done: .* into a module"):
        Pipeline([Fetcher(fetch)], hooks={"done": "__main__:told"})

"""What the docs show, run as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.flow.buffer import Buffer
from actors.runtime.settings import unknown_variables

ROOT = Path(__file__).parents[2]

Start = Callable[..., Any]


def block(document: str, name: str) -> str:
    """The fenced block that begins with a comment with this file's name."""
    text = (ROOT / document).read_text()
    found = re.search(
        rf"^```\w+\n# {re.escape(name)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"{document} shows no {name}"
    return found[1]


@pytest.mark.system
def test_the_pipeline_of_the_readme_runs(
    start_numbers: Start, start_system: Start, env: dict[str, str], tmp_path: Path
) -> None:
    north, south = start_numbers("--every", "0"), start_numbers("--every", "0")
    config = block("README.md", "pipeline.toml")
    for url, numbers in (("4001", north), ("4002", south)):
        assert f"http://127.0.0.1:{url}" in config
        config = config.replace(f"http://127.0.0.1:{url}", numbers.url)
    (tmp_path / "pipeline.toml").write_text(config)
    (tmp_path / "reports.py").write_text(block("README.md", "reports.py"))
    env["PYTHONPATH"] += f":{tmp_path}"
    north.add(4, 9)
    south.add(16)

    words = ["--config", str(tmp_path / "pipeline.toml"), "--until-idle", "1.5"]
    system = start_system(*words)

    assert system.wait(30) == 0
    done = {(each["fetcher"], each["result"]) for each in system.all_of("job.done")}
    assert done == {
        ("north", "the root is 2"),
        ("north", "the root is 3"),
        ("south", "the root is 4"),
    }


def test_the_fourth_dispatcher_of_the_docs_sends_to_who_was_served_least() -> None:
    names: dict[str, Any] = {}
    exec(block("docs/dispatchers.md", "actors/flow/fair.py"), names)  # noqa: S102
    dispatcher = names["FairDispatcher"]()
    for name, demand in (("a", 3), ("b", 2), ("c", 0)):
        dispatcher.subscribe(name)
        dispatcher.ask(name, demand)
    buffer: Buffer[int] = Buffer(10)
    buffer.store(range(7))

    limited = dispatcher.dispatch(buffer, most=3)
    rest = dispatcher.dispatch(buffer)
    dispatcher.cancel("a")

    assert limited == [("a", (0,)), ("b", (1,)), ("a", (2,))]
    assert rest == [("b", (3,)), ("a", (4,))]
    assert (len(buffer), dispatcher.demand) == (2, 0)


SYSTEMD = shutil.which("systemd-analyze")


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not installed (apt: systemd)")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deploy" / "lowtide.service").read_text()
    unit = tmp_path / "lowtide.service"
    start = re.compile(r"^ExecStart=\S+", re.MULTILINE)
    unit.write_text(start.sub(f"ExecStart={sys.executable}", text))

    done = subprocess.run(
        [str(SYSTEMD), "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["lowtide.service", "Dockerfile"])
def test_what_deployments_set_are_settings(name: str) -> None:
    text = (ROOT / "docs" / "deploy" / name).read_text()

    variables = re.findall(r"LOWTIDE_[A-Z_]*[A-Z]", text)

    assert variables
    assert unknown_variables(variables) == []

"""The files in docs/deploy for more than one machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from actors.main import main

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
URL = "postgresql://jobs:sesame@db/jobs"


@pytest.fixture
def accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Whether the command line can be used, with a configuration of this test's."""
    config = tmp_path / "lowtide.toml"
    config.write_text("every_s = 1.0\n")
    monkeypatch.setenv("LOWTIDE_JOURNAL", URL)

    def accepts(words: list[str]) -> bool:
        assert words[:2] == ["run", "--standby"]
        rest = [str(config) if each.endswith(".toml") else each for each in words[2:]]
        code = main(["check", *rest])
        assert code == 0, capsys.readouterr().err
        return True

    return accepts


def test_both_machines_of_compose_run_the_same_command(accepts: Any) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    [service] = compose["services"].values()

    assert accepts(service["command"])
    assert service["environment"]["LOWTIDE_JOURNAL"].startswith("${LOWTIDE_JOURNAL:?")
    assert service["stop_grace_period"] == "40s"


def test_a_deployment_of_two_is_ready_where_it_leads(accepts: Any) -> None:
    made = yaml.safe_load((DEPLOY / "kubernetes.yml").read_text())
    pod = made["spec"]["template"]["spec"]
    [container] = pod["containers"]

    assert (made["kind"], made["spec"]["replicas"]) == ("Deployment", 2)
    assert accepts(container["args"])
    web = container["args"][container["args"].index("--web") + 1]
    ready = container["readinessProbe"]["exec"]["command"]
    assert f"127.0.0.1:{web}/readyz" in ready[-1]
    compile(ready[-1], "probe", "exec")
    assert container["livenessProbe"]["exec"]["command"] == ["lowtide", "status"]
    assert pod["terminationGracePeriodSeconds"] == 40
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"] == labels
    volumes = {each["name"] for each in pod["volumes"]}
    assert {each["name"] for each in container["volumeMounts"]} == volumes


def test_the_unit_of_one_machine_waits_on_two_with_one_file_beside_it(
    accepts: Any,
) -> None:
    lines = (DEPLOY / "standby.conf").read_text().splitlines()
    said = [each for each in lines if each and not each.startswith("#")]

    assert said[:2] == ["[Service]", "ExecStart="]
    [command] = said[2:]
    words = shlex.split(command.removeprefix("ExecStart="))
    unit = (DEPLOY / "lowtide.service").read_text()
    assert f"ExecStart={words[0]} run" in unit
    assert accepts(words[1:])

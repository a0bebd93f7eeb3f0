"""The unit and the Dockerfile of the docs name what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actors.config.values import unknown_variables
from tests.docs.blocks import ROOT

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

"""The unit and the Dockerfile of the docs name what there is."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.config.values import unknown_variables
from tests.docs.blocks import ROOT

SYSTEMD = shutil.which("systemd-analyze")
try:
    ctypes.CDLL("libseccomp.so.2")
    HAS_SECCOMP = True
except OSError:
    HAS_SECCOMP = False


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


@pytest.mark.system
@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not installed (apt: systemd)")
@pytest.mark.skipif(
    not HAS_SECCOMP, reason="libseccomp is not installed (apt: libseccomp2)"
)
def test_jobs_are_done_under_the_filter_of_the_unit(
    env: dict[str, str], start_numbers: Callable[..., Any]
) -> None:
    numbers = start_numbers("--preload", "2", "--every", "0")
    unit = ROOT / "docs" / "deploy" / "lowtide.service"
    under = [sys.executable, str(ROOT / "tests" / "support" / "filtered.py"), str(unit)]
    run = [sys.executable, "-m", "actors.main", "run", "--port", "0"]
    words = ["--url", numbers.url, "--every", "0.2", "--until-idle", "2"]
    words += ["--journal", "none"]

    done = subprocess.run(
        [*under, *run, *words], capture_output=True, text=True, env=env, check=False
    )
    refused = subprocess.run(
        [*under, sys.executable, "-c", "import os; os.chroot('/')"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count('"event": "job.done"') == 2
    assert "PermissionError" in refused.stderr


@pytest.mark.parametrize("name", ["lowtide.service", "Dockerfile"])
def test_what_deployments_set_are_settings(name: str) -> None:
    text = (ROOT / "docs" / "deploy" / name).read_text()

    variables = re.findall(r"LOWTIDE_[A-Z_]*[A-Z]", text)

    assert variables
    assert unknown_variables(variables) == []

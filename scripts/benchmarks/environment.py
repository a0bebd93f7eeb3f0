"""Environments for programs of others, each made once in a cache directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.model import MeasureError

INSTALL_WITHIN_S = 300


class SkippedError(MeasureError):
    """What is to be measured cannot be had here."""


@cache
def programs(requirements: tuple[str, ...]) -> Path:
    """The directory of an environment's programs, installed if it is missing.

    Raises:
        SkippedError: It cannot be installed.
    """
    directory = _directory(requirements)
    if not is_installed(requirements):
        shutil.rmtree(directory, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(directory))
        pip = (str(directory / "bin" / "pip"), "install", "--quiet")
        _run(*pip, "--disable-pip-version-check", *requirements)
        _stamp(directory).touch()
    return directory / "bin"


def is_installed(requirements: tuple[str, ...]) -> bool:
    """Whether the environment is there already."""
    return _stamp(_directory(requirements)).exists()


def _directory(requirements: tuple[str, ...]) -> Path:
    digest = hashlib.sha256("\n".join((sys.version, *requirements)).encode())
    cached = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cached, "lowtide-bench", digest.hexdigest()[:12])


def _stamp(directory: Path) -> Path:
    return directory / "installed"


def version(requirements: tuple[str, ...]) -> str:
    """The first of them, with its installed version.

    Raises:
        SkippedError: It cannot be installed.
    """
    name = requirements[0].partition(">")[0].partition("[")[0]
    python = str(programs(requirements) / "python")
    words = f"from importlib.metadata import version; print(version({name!r}))"
    return f"{name} {_run(python, '-c', words).strip()}"


def _run(*words: str) -> str:
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SkippedError(f"skipped: cannot be installed: {error}") from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason told"]
        raise SkippedError(f"skipped: cannot be installed: {last[0]}")
    return done.stdout

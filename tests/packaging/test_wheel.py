"""The wheel and the sdist: what is in them, and that the wheel runs by itself."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        importlib.util.find_spec("setuptools") is None, reason="setuptools is missing"
    ),
]

ROOT = Path(__file__).parents[2]
#: All that a build reads: nothing is downloaded.
SOURCES = (
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "number_server.py",
    "actors",
    "domain",
)
BUILD = "from setuptools.build_meta import *; build_wheel('dist'); build_sdist('dist')"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place / name, ignore=leave)
        else:
            shutil.copy(source, place)
    built = place / "dist"
    built.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BUILD],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return built


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site-packages")
    [wheel] = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)  # noqa: S202 - our own
    return place


def python(installed: Path, *words: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=at,
        env=os.environ
        | {"PYTHONPATH": str(installed), "LOWTIDE_STATE_DIR": str(at / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_takes_no_names_at_the_top_but_the_packages(installed: Path) -> None:
    names = {each.name for each in installed.iterdir() if "dist-info" not in each.name}

    assert names == {"actors", "domain"}


def test_it_has_every_file_that_is_no_test_of_ours(installed: Path) -> None:
    here = {
        str(path.relative_to(ROOT))
        for top in ("actors", "domain")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    there = {
        str(path.relative_to(installed))
        for path in installed.rglob("*")
        if path.is_file() and "dist-info" not in str(path)
    }

    assert there - here == {"domain/number_server.py"}
    assert here - there == set()


def test_it_runs_the_demo_by_itself(installed: Path, tmp_path: Path) -> None:
    # What a user may have beside it.
    (installed / "number_server.py").write_text("raise RuntimeError('not this one')\n")
    words = ("run", "--port", "0", "--for", "15", "--every", "0.2", "--journal", "none")

    done = python(installed, "-m", "actors.main", *words, at=tmp_path)

    assert "job.done" in done.stderr, done.stderr
    assert done.returncode in (0, 4), done.stderr


def test_the_number_server_can_be_started_by_its_name(
    installed: Path, tmp_path: Path
) -> None:
    done = python(installed, "-m", "domain.number_server", "--help", at=tmp_path)

    assert done.returncode == 0
    assert "--first-id" in done.stdout


def test_a_wheel_can_be_built_of_the_sdist(dist: Path, tmp_path: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        # Debian's 3.11.2 has none.
        how = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(tmp_path, **how)  # type: ignore[arg-type]  # noqa: S202 - ours
    [source] = (each for each in tmp_path.iterdir() if each.is_dir())
    (source / "dist").mkdir()

    build = python(tmp_path, "-c", BUILD, at=source)

    assert build.returncode == 0, build.stderr
    [wheel] = (source / "dist").glob("*.whl")
    [first] = dist.glob("*.whl")
    again = set(zipfile.ZipFile(wheel).namelist())
    assert again == set(zipfile.ZipFile(first).namelist())

"""Every CPython of this machine that can run lowtide.

As a command it prints one a line, the oldest first: its version and its path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Below this one, setup.cfg refuses to install.
OLDEST = (3, 11)
#: What a candidate says about itself; a virtual environment is none.
_PROBE = """
import os, platform, sys
assert sys.prefix == sys.base_prefix and platform.python_implementation() == "CPython"
print(*sys.version_info[:3], os.path.realpath(sys.executable))
"""
_PROBE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Python:
    """An interpreter, which can be sorted by its version."""

    version: tuple[int, ...]
    path: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.version))} {self.path}"


def found() -> list[Python]:
    """Look for them; each version once, though several paths may lead to it."""
    by_version: dict[tuple[int, ...], Python] = {}
    for candidate in dict.fromkeys(_candidates()):
        python = _ask(candidate)
        if python is not None and python.version >= OLDEST:
            by_version.setdefault(python.version, python)
    return sorted(by_version.values())


def _candidates() -> Iterator[str]:
    yield "/usr/bin/python3"
    for name in ("python3", *(f"python3.{minor}" for minor in range(11, 20))):
        if path := shutil.which(name):
            yield path
    home = Path.home()
    roots = (
        Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        Path(
            os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local/share/uv/python"
        ),
    )
    for root in roots:
        yield from map(str, sorted(root.glob("*/bin/python3")))


def _ask(path: str) -> Python | None:
    try:
        told = subprocess.run(
            [path, "-I", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN_S,
            check=True,
        ).stdout.split(maxsplit=3)
    except (OSError, subprocess.SubprocessError):
        return None
    *version, where = told
    return Python(tuple(map(int, version)), where.strip())


if __name__ == "__main__":
    print(*found(), sep="\n")
    sys.exit()

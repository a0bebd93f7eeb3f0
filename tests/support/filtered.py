"""Runs a program under the filter of system calls that a unit of systemd has.

``python filtered.py UNIT PROGRAM [WORD...]``: systemd itself would have to be the first
process; what its filter is made of, it says anywhere, and libseccomp loads it.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

_ALLOW = 0x7FFF0000
_EPERM = 0x00050000 | 1


def sets() -> dict[str, set[str]]:
    """The sets of calls that systemd knows, each with what it says is in it."""
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, set[str]] = {}
    members: set[str] = set()
    for line in re.sub(r"\x1b\[[0-9;]*m", "", told.stdout).splitlines():
        if line.startswith("@"):
            members = found.setdefault(line.strip(), set())
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.add(line.strip())
    return found


def allowed(unit: str) -> set[str]:
    """The calls that a unit's lines let through, one line after the other."""
    known = sets()

    def calls(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return set().union(*map(calls, known[name]))

    found = calls("@default") | {"execve"}
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = set().union(*map(calls, line.lstrip("~").split()))
        found = found - named if line.startswith("~") else found | named
    return found | calls("@default") | {"execve"}


def main(unit: str, *program: str) -> None:
    """Load the filter, and become the program."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
    ]
    filtering = library.seccomp_init(_EPERM)
    for name in sorted(allowed(Path(unit).read_text())):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != -1:
            library.seccomp_rule_add(filtering, _ALLOW, number, 0)
    if library.seccomp_load(filtering) != 0:
        sys.exit("the filter cannot be loaded")
    os.execv(program[0], program)  # noqa: S606 - what was named


if __name__ == "__main__":
    main(*sys.argv[1:])

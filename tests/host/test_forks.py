"""What a fork gets of ours."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os
from actors.host import forks

forks.note_users_files()
ours = os.pipe()
forks.keep_all()
forks.shield()
child = os.fork()
if child == 0:
    print([os.readlink(f"/proc/self/fd/{fd}") for fd in ours], flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_what_is_opened_right_after_the_look_at_the_users_files_is_ours() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert found.stdout == "['/dev/null', '/dev/null']\n"

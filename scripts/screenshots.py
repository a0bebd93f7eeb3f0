"""Pictures of a running system: ``top`` in tmux, and the page in Chromium."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from actors.host.ports import free_port

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.browser import Browser, find_chromium  # noqa: E402

WIDTH, HEIGHT = 118, 30
TOKEN = "for-the-pictures"  # noqa: S105 - of a system that lives for two minutes
#: What the demo's processors do: as much as a request to another service.
SLOW = """
import time
from domain.numbers import process as root
def process(job):
    time.sleep(0.4)
    return root(job)
"""


class Demo:
    """A number server and a system with a page, with a little trouble in it."""

    def __init__(self, place: Path, stack: contextlib.ExitStack) -> None:
        (place / "slow_roots.py").write_text(SLOW)
        # By this name, tracebacks do not show where this is checked out.
        (place / "lowtide").symlink_to(ROOT)
        self.place = place
        self.port, self.web = free_port(), free_port()
        paths = os.pathsep.join([str(place / "lowtide"), str(place)])
        self.env = os.environ | {
            "LOWTIDE_STATE_DIR": str(place / "state"),
            "LOWTIDE_JOURNAL": str(place / "lowtide.db"),
            "LOWTIDE_WEB_TOKEN": TOKEN,
            "PYTHONPATH": paths,
        }
        server = self._start(stack, "number_server", "--port", "0", "--every", "0")
        assert server.stdout is not None
        self.url = server.stdout.readline().split()[-1].decode()
        self._start(
            stack,
            "actors.main",
            *("--url", self.url, "--process", "slow_roots:process", "--every", "0.5"),
            *("--port", str(self.port), "--web", str(self.web), "--processors", "3"),
        )
        while self.command("status") != 0:
            time.sleep(0.2)

    def command(self, *words: str) -> int:
        """A command for the system; returns its exit code."""
        words = (sys.executable, "-m", "actors.main", *words, "--port", str(self.port))
        return subprocess.run(
            words, env=self.env, capture_output=True, check=False
        ).returncode

    def add(self, *numbers: int) -> None:
        """Give the source numbers."""
        request = urllib.request.Request(
            f"{self.url}/numbers",
            json.dumps(numbers).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=5).close()

    def live(self, seconds: float) -> None:
        """Let jobs come and go, now and then more than can be done at once."""
        chance = random.Random(7)
        self.add(-1, -4)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            count = chance.choice((0, 1, 2, 3, 5, 40 if left > seconds / 3 else 4))
            self.add(*(chance.randrange(1, 100) ** 2 for _ in range(count)))
            time.sleep(min(left, 1.5))

    def _start(
        self, stack: contextlib.ExitStack, module: str, *words: str
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=self.env,
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        return process


def picture_of_top(demo: Demo, place: Path, images: Path) -> None:
    """Draw ``top`` in tmux, and the terminal's content in Chromium."""
    tmux = [
        shutil.which("tmux") or "tmux",
        "-S",
        str(place / "tmux"),
        "-f",
        "/dev/null",
    ]
    command = f"{sys.executable} -m actors.main top --port {demo.port}"
    size = ("-x", str(WIDTH), "-y", str(HEIGHT))
    env = demo.env | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    subprocess.run(
        [*tmux, "new-session", "-d", *size, shlex.join(shlex.split(command))],
        env=env,
        check=True,
    )
    demo.add(*(number**2 for number in range(1, 60)))
    time.sleep(6)
    drawn = subprocess.run(
        [*tmux, "capture-pane", "-e", "-p"], env=env, capture_output=True, check=True
    ).stdout.decode()
    subprocess.run([*tmux, "kill-server"], env=env, check=False)
    with (place / "drawn").open("w") as nowhere:
        console = Console(
            width=WIDTH, record=True, file=nowhere, color_system="truecolor"
        )
        console.print(Text.from_ansi(drawn), soft_wrap=True)
        page = console.export_html(
            theme=DIMMED_MONOKAI, code_format=TERMINAL, inline_styles=True
        )
    page = re.sub(r"background-color: #\w+;?", "", page)
    (place / "top.html").write_text(page)
    with contextlib.closing(
        Browser(place / "b1" / "profile", size=(1010, 760))
    ) as browser:
        browser.open((place / "top.html").as_uri())
        browser.wait_for("document.querySelector('pre')")
        browser.screenshot(images / "top.png")


TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; overflow: hidden; background: #101817; color: #d7e0de; }}
pre {{ margin: 14px; font: 13.5px/1.38 "DejaVu Sans Mono", monospace; }}
</style><pre>{code}</pre>"""


def pictures_of_the_page(demo: Demo, place: Path, images: Path) -> None:
    """The overview by day, and a quarantined job by night."""
    profile = place / "b2" / "profile"
    with contextlib.closing(Browser(profile, size=(1100, 1100))) as browser:
        browser.open(f"http://127.0.0.1:{demo.web}/")
        browser.wait_for("document.querySelector('#quarantined a')")
        browser.screenshot(images / "page.png")
        browser.colours("dark")
        browser.type("#token", TOKEN)
        browser.click("#unlock button")
        browser.click("#quarantined a")
        browser.wait_for("document.querySelector('#payload')")
        browser.screenshot(images / "job.png")


def main() -> int:
    """Take all pictures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--seconds", type=float, default=80.0, help="to live before")
    arguments = parser.parse_args()
    missing = [name for name in ("tmux",) if shutil.which(name) is None]
    missing += [] if find_chromium() else ["chromium"]
    if missing:
        print(f"needs {' and '.join(missing)}, which is not here", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as name,
        contextlib.ExitStack() as stack,
    ):
        place = Path(name)
        for browser in ("b1", "b2"):
            (place / browser).mkdir()
        demo = Demo(place, stack)
        demo.live(arguments.seconds)
        picture_of_top(demo, place, arguments.out)
        demo.live(5)
        pictures_of_the_page(demo, place, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

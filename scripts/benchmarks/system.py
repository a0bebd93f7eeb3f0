"""A real system under measurement: its configuration, its processes, its account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from actors.host.control_socket import ControlError, ask
from actors.host.ports import free_port
from actors.host.state_dir import SystemFiles
from benchmarks import proc
from benchmarks.model import ROOT, MeasureError

if TYPE_CHECKING:
    from benchmarks.model import Bench

START_WITHIN_S = 30.0
GONE_WITHIN_S = 10.0
LOOK_S = 0.01


class System:
    """``python -m actors.main run``, with everything of it in a fresh directory.

    Args:
        bench: How to measure.
        settings: Of its configuration, beside ours; ``fetch_options`` are those
            of the source, ``root`` is where lowtide is, if it is another, and
            ``environ`` is for its environment.
    """

    def __init__(self, bench: Bench, **settings: Any) -> None:
        self._root: Path = settings.pop("root", ROOT)
        self._environ: dict[str, str] = settings.pop("environ", {})
        self._temporary = tempfile.TemporaryDirectory(
            prefix="lowtide-bench-", dir=bench.directory
        )
        self.directory = Path(self._temporary.name)
        self.journal = self.directory / "lowtide.db"
        self.notes = self.directory / "notes"
        self.notes.mkdir()
        self.port = free_port()
        self._files = SystemFiles(self.directory, self.port)
        self._log = self.directory / "log"
        self._config = self.directory / "bench.toml"
        self._config.write_text(self._toml(settings))
        self.began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; its journal, if there is to be one already, is in its place."""
        kept = {key: each for key, each in os.environ.items() if "LOWTIDE" not in key}
        environment = kept | self._environ
        environment |= {
            "LOWTIDE_STATE_DIR": str(self.directory),
            "BENCH_NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join((str(self._root), str(ROOT / "scripts"))),
        }
        words = [sys.executable, "-m", "actors.main", "run"]
        self.began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*words, "--config", str(self._config)],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self.directory,
            )
        return self

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            pids = self.pids()
            self._process.kill()
            self._process.wait()
            # The kernel ends all that are below; a measurement is not to be
            # disturbed by what is left of the one before.
            proc.gone(pids, GONE_WITHIN_S)
        self._temporary.cleanup()

    def pids(self) -> list[int]:
        """All its processes."""
        assert self._process is not None
        return proc.descendants(self._process.pid)

    def roles(self) -> dict[str, int]:
        """Its processes by what they are: ``main``, ``admin``, ``root``, ..."""
        status = self._whole_status()
        assert self._process is not None
        stages = (*status["fetchers"], *status["processors"])
        roles = {each["name"]: each["pid"] for each in stages}
        roles["root"] = proc.parent(status["fetchers"][0]["pid"])
        roles["admin"] = proc.parent(roles["root"])
        roles["main"] = self._process.pid
        known = set(roles.values())
        others = [pid for pid in self.pids() if pid not in known]
        roles |= {f"other{number or ''}": pid for number, pid in enumerate(others)}
        return roles

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Ask it for something, once it runs."""
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            self._check()
            try:
                return ask(self._files.socket, command, START_WITHIN_S)
            except ControlError as error:
                if time.monotonic() > deadline:
                    raise MeasureError(f"the system does not answer: {error}") from None
            time.sleep(LOOK_S)

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        return self.ask({"verb": "status"})

    def _whole_status(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            status = self.status()
            if all(each["pid"] for each in status["fetchers"] + status["processors"]):
                return status
            time.sleep(LOOK_S)
        raise MeasureError(f"not all stages started: {status}")

    def done(self) -> int:
        """How many jobs are done."""
        count: int = self.status()["accounting"]["done"]
        return count

    def wait_until_done(self, count: int, within_s: float) -> None:
        """Wait until so many jobs are done.

        Raises:
            MeasureError: It took too long.
        """
        deadline = time.monotonic() + within_s
        while (done := self.done()) < count:
            if time.monotonic() > deadline:
                raise MeasureError(f"{done} of {count} jobs done in {within_s:g} s")
            time.sleep(LOOK_S)

    def wait_for_log(self, event: str, within_s: float = START_WITHIN_S) -> float:
        """Wait until its log tells of an event; returns when that was seen."""
        deadline = time.monotonic() + within_s
        told = f'"event": "{event}"'
        while told not in self._log.read_text(errors="replace"):
            self._check()
            if time.monotonic() > deadline:
                raise MeasureError(f"no {event} within {within_s:g} s")
            time.sleep(0.001)
        return time.monotonic()

    def _check(self) -> None:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            last = self._log.read_text(errors="replace")[-500:]
            raise MeasureError(f"the system ended with {code}: {last}")

    def _toml(self, settings: dict[str, Any]) -> str:
        settings = {
            "port": self.port,
            "journal": str(self.journal),
            "processors": 2,
            "log_level": "info",
            "log_format": "json",
            "fetch": "benchmarks.jobs:endless",
            "process": "benchmarks.jobs:root",
            "every_s": 2.0,
        } | settings
        fetcher = {"name": "source", "fetch": settings.pop("fetch")}
        fetcher["options"] = settings.pop("fetch_options", {})
        processor = {
            "name": "worker",
            "process": settings.pop("process"),
            "from": ["source"],
            "count": settings.pop("processors"),
            "max_demand": settings.pop("max_demand", 1),
        }
        lines = [f"{key} = {_toml_value(each)}" for key, each in settings.items()]
        for name, table in (("fetcher", fetcher), ("processor", processor)):
            lines += ["", f"[[{name}]]"]
            lines += [f"{key} = {_toml_value(each)}" for key, each in table.items()]
        return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{key} = {_toml_value(each)}" for key, each in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value)

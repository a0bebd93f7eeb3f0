"""The tutorial, typed from its first block to its last as a reader does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.host.ports import free_port
from actors.testing.processes import Program, System, Systems, wait_until
from tests.docs.blocks import Block, Command, blocks, commands, shows

# A dozen systems, one after the other.
pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

TUTORIAL = "docs/tutorial.md"
#: In their order.
BLOCKS = [each for each in blocks() if each.document == TUTORIAL]
#: What a reader has done before, or what needs a network.
SETUP = ("source ", "pip install", "mkdir ")


class Reader:
    """Somebody with three terminals, a free port, and a state directory."""

    def __init__(self, place: Path, systems: Systems) -> None:
        self.place = place
        self.systems = systems
        self.env = systems.env | {"LOWTIDE_LOG_FORMAT": "json"}
        self.api_port = free_port()
        self.programs: list[Program] = []
        self.system: System | None = None
        bin_ = place / "bin"
        bin_.mkdir()
        for name, words in (("python", ""), ("lowtide", "-m actors.main ")):
            (bin_ / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
            (bin_ / name).chmod(0o755)
        self.env["PATH"] = f"{bin_}:{os.environ['PATH']}"
        self.env["LOWTIDE_PORT"] = str(free_port())
        self.env["PYTHONPATH"] += f":{place}"

    def read(self, block: Block) -> None:
        """Save a file, or type what is to be typed."""
        if block.name:
            text = block.text.replace("8001", str(self.api_port))
            (self.place / block.name).write_text(text)
            # A file that is changed within its second looks as it was to Python.
            shutil.rmtree(self.place / "__pycache__", ignore_errors=True)
        elif block.language == "text":
            self.log_says(block)
        else:
            for command in commands(block):
                self.type(command)

    def log_says(self, block: Block) -> None:
        assert self.system is not None
        for line in block.text.splitlines():
            _, _, wanted = line.partition("result=")
            what = wanted.removesuffix(" ...")
            system = self.system
            wait_until(
                lambda what=what, system=system: any(  # type: ignore[misc]
                    str(each["result"]) == what for each in system.all_of("job.done")
                ),
                line,
            )

    def type(self, command: Command) -> None:
        match command.parts[0]:
            case ["python", "ticket_api.py"]:
                self.start(str(self.place / "ticket_api.py"))
                wait_until(self.api_answers, "the API")
            case ["lowtide", "run", *words]:
                program = self.start("-m", "actors.main", "run", *words)
                port = int(self.env["LOWTIDE_PORT"])
                self.system = System(program, port, self.env)
                self.system.wait_for("system.started")
            case ["kill", "-9", _]:
                assert self.system is not None
                self.until("3 buffered")
                [started] = self.system.all_of("system.started")
                os.kill(started["pid"], 9)
                self.system.wait()
            case _:
                if not command.line.startswith(SETUP):
                    self.ask(command)

    def start(self, *words: str) -> Program:
        program = Program(*words, env=self.env, prefix=("env", "-C", str(self.place)))
        self.programs.append(program)
        return program

    def api_answers(self) -> bool:
        code = (
            f"import socket; socket.create_connection(('127.0.0.1', {self.api_port}))"
        )
        return self.run(f'python -c "{code}"').returncode == 0

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.place,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, command: Command) -> None:
        """Type a command; one that only looks is typed until it shows what it is to."""
        if command.line.startswith(("lowtide status", "lowtide jobs list")):
            wait_until(lambda: self.is_shown(command), command.line)
        else:
            done = self.run(command.line)
            told = f"{command.line}: {done.stdout}{done.stderr}"
            assert done.returncode == 0, told
            assert not command.output or shows(command.output, done.stdout), told

    def is_shown(self, command: Command) -> bool:
        done = self.run(command.line)
        wanted = [each for each in command.output if each != "..."]
        there = all(f"{each}\n" in done.stdout for each in wanted)
        return done.returncode == 0 and there and "quarantined" in done.stdout

    def until(self, text: str) -> None:
        wait_until(lambda: text in self.run("lowtide status").stdout, text)

    def close(self) -> None:
        for each in reversed(self.programs):
            each.close()


@pytest.fixture
def reader(tmp_path: Path, systems: Systems) -> Callable[[], Reader]:
    return lambda: Reader(tmp_path, systems)


def test_every_block_is_run_and_shows_what_comes_of_it(
    reader: Callable[[], Reader],
) -> None:
    one = reader()
    try:
        for block in BLOCKS:
            one.read(block)
        assert one.system is not None
        assert one.system.wait() == 0
    finally:
        one.close()

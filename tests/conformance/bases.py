"""One pipeline over three bases: the harness, processes, and two machines.

Two machines are two roots with a line between them, on one host.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.config.build import build
from actors.config.model import SETTINGS
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.host.ports import free_port
from actors.testing import Harness
from actors.testing.processes import System, wait_until
from actors.testing.world import SystemEndedError
from tests.support import spooled, spooled_later
from tests.support.processes import parent

if TYPE_CHECKING:
    from actors.demand.job import AccountingCounts
    from actors.status.model import SystemStatus
    from actors.testing.world import World

#: How long to look for something, in seconds; on the harness, in virtual ones.
WITHIN_S = 60.0


class Waiting(Protocol):
    """Somebody who waits until all that was fetched has ended."""

    def is_told(self) -> bool: ...


class Pipeline(Protocol):
    """What both bases can be told and asked; ``reach`` waits, with a deadline."""

    def push(self, *ids: int) -> None: ...
    def kill(self, name: str) -> None: ...
    def ask(self, name: str, count: int) -> None: ...
    def set_demand(self, demand: str) -> None: ...
    def set_max_demand(self, count: int) -> None: ...
    def set_value(self, name: str, value: Any) -> None: ...
    def attach(self, kind: str) -> None: ...
    def attach_fetcher(self, name: str) -> None: ...
    def kill_root(self) -> None: ...
    def detach(self, name: str) -> None: ...
    def begin_to_wait(self) -> Waiting: ...
    def stop(self) -> AccountingCounts: ...
    def has_ended(self) -> bool: ...
    def status(self) -> SystemStatus: ...
    def events(self, name: str) -> list[dict[str, Any]]: ...
    def story(self, job_id: int) -> list[str]: ...
    def told(self) -> list[Any]: ...
    def reach(self, condition: Callable[[SystemStatus], Any], what: str) -> Any: ...


class Manner(NamedTuple):
    """How the processors of a pipeline run their jobs, where its text says nothing."""

    concurrency: str | None = None
    is_async: bool = False

    def of(self, config: str) -> str:
        """The configuration in this manner."""
        if not self.is_async:
            return config
        return config.replace('process = "spooled:', 'process = "spooled_later:')

    def settings(self, given: Mapping[str, str]) -> dict[str, str]:
        """The settings of the whole in this manner."""
        own = {} if self.concurrency is None else {"concurrency": self.concurrency}
        return own | dict(given)


def account(**expected: int) -> Callable[[SystemStatus], bool]:
    """Whether a status has these counts."""
    return lambda status: expected.items() <= status["accounting"].items()


def stage(status: SystemStatus, name: str) -> Mapping[str, Any]:
    """A stage's part of a status; empty if it is not there."""
    stages = [*status["fetchers"], *status["processors"]]
    return next((each for each in stages if each["name"] == name), {})


def table(config: str, directory: Path, fetch: str = "fetch") -> str:
    """A whole configuration: a fetcher of files, and the processors given."""
    return (
        f'every_s = 0.1\n[[fetcher]]\nname = "spool"\nfetch = "spooled:{fetch}"\n'
        f"options = {{ directory = {json.dumps(str(directory))} }}\n{config}"
    )


def done_in(pipeline: Pipeline, count: int) -> list[dict[str, Any]]:
    """What was told of jobs that are done, once it is of so many, in order."""

    def told(_: SystemStatus) -> bool:
        return len(pipeline.events("job.done")) >= count

    pipeline.reach(told, f"{count} are told of")
    return pipeline.events("job.done")


def makers_of(pipeline: Pipeline, count: int) -> list[str]:
    """Who did each of so many jobs, in the order of their ends."""
    done = done_in(pipeline, count)
    return [each["processor"].removeprefix("far/") for each in done]


#: What is told of a job, wherever it is done.
STORY = {"job.fetched", "job.failed", "job.done", "job.quarantined"}


def story_in(events: Iterable[dict[str, Any]], job_id: int) -> list[str]:
    """What was told of one job, in order."""
    about = (each for each in events if each.get("job_id") == job_id)
    return [each["event"] for each in about if each["event"] in STORY]


def told_to(spool: Path) -> list[Any]:
    """What `spooled.settle` was told."""
    file = spool.parent / "told.jsonl"
    return list(map(json.loads, file.read_text().splitlines() if file.exists() else ()))


def put_files(directory: Path, ids: Iterable[int]) -> None:
    """Put a job's file for each into the directory, as a whole."""
    for number in ids:
        path = directory / f"{number:06}.json"
        path.with_suffix(".new").write_text(json.dumps({"id": number}))
        path.with_suffix(".new").rename(path)


class OnHarness:
    def __init__(
        self,
        config: str,
        settings: dict[str, str],
        directory: Path,
        fetch: str | None = None,
    ) -> None:
        directory = directory / "spool"
        directory.mkdir()
        self._directory = directory
        self._spool = None if fetch is None else directory
        text = table(config, directory)
        file = ConfigFile(Path("test.toml"), tomllib.loads(text), text)
        functions = {
            f"{module.__name__.rpartition('.')[2]}:{name}": getattr(module, name)
            for module in (spooled, spooled_later)
            for name, each in vars(spooled).items()
            if inspect.isfunction(each)
        }
        system = build(resolve(settings, {}, file), file)
        own = None if fetch is None else getattr(spooled, fetch)
        self.harness = Harness(own, config=system, functions=functions)
        self.status = self.harness.status
        self.kill = self.harness.crash
        self.detach = self.harness.detach
        self.stop = self.harness.stop
        self.ask = self.harness.ask

    def push(self, *ids: int) -> None:
        if self._spool is None:
            self.harness.push([{"id": number} for number in ids])
        else:
            put_files(self._spool, ids)

    def told(self) -> list[Any]:
        return told_to(self._directory)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.harness.events if each["event"] == name]

    def story(self, job_id: int) -> list[str]:
        return story_in(self.harness.events, job_id)

    def set_demand(self, demand: str) -> None:
        self.harness.command({"verb": "set", "values": {"demand": demand}})

    def set_max_demand(self, count: int) -> None:
        self.set_value("max_demand", count)

    def set_value(self, name: str, value: Any) -> None:
        self.harness.command({"verb": "set", "values": {name: value}})

    def attach(self, kind: str) -> None:
        self.harness.command({"verb": "attach", "count": 1, "processor": kind})

    def attach_fetcher(self, name: str) -> None:
        self.harness.command({"verb": "attach", "names": [name]})

    def kill_root(self) -> None:
        self.harness.crash("root")

    def has_ended(self) -> bool:
        self.harness.advance(5.0)
        try:
            self.status()
        except SystemEndedError:
            return True
        return False

    def begin_to_wait(self) -> Waiting:
        return _Request(self.harness._world)  # noqa: SLF001 - nobody waits here

    def reach(self, condition: Callable[[SystemStatus], Any], what: str) -> Any:
        end = self.harness.now + WITHIN_S
        while not (found := condition(self.status())):
            assert self.harness.now < end, what
            self.harness.advance(0.1)
        return found


class _Request:
    def __init__(self, world: World) -> None:
        self._request = world.command({"verb": "wait"})

    def is_told(self) -> bool:
        return self._request.reply is not None


class OnProcesses:
    def __init__(
        self,
        config: str,
        settings: dict[str, str],
        start_system: Callable[..., System],
        directory: Path,
        fetch: str | None = None,
    ) -> None:
        self._spool = directory / "spool"
        self._spool.mkdir()
        file = directory / "test.toml"
        file.write_text(table(config, self._spool, fetch or "fetch"))
        words = [(SETTINGS[name].flag, value) for name, value in settings.items()]
        self.system = start_system("--config", str(file), *chain(*words))
        self._root = parent(stage(self.system.status(), "spool")["pid"])
        self._waiting: list[_Command] = []

    def status(self) -> SystemStatus:
        return self.system.status()

    def push(self, *ids: int) -> None:
        put_files(self._spool, ids)

    def told(self) -> list[Any]:
        return told_to(self._spool)

    def events(self, name: str) -> list[dict[str, Any]]:
        return self.system.all_of(name)

    def story(self, job_id: int) -> list[str]:
        return story_in(self.system.program.events, job_id)

    def kill(self, name: str) -> None:
        os.kill(stage(self.status(), name)["pid"], signal.SIGKILL)

    def ask(self, name: str, count: int) -> None:
        self._tell("ask", name, str(count))

    def set_demand(self, demand: str) -> None:
        self._tell("set", "--demand", demand)

    def set_max_demand(self, count: int) -> None:
        self.set_value("max_demand", count)

    def set_value(self, name: str, value: Any) -> None:
        self._tell("set", f"--{name.replace('_', '-').removesuffix('-s')}", str(value))

    def attach(self, kind: str) -> None:
        self._tell("attach", "--processor", kind)

    def attach_fetcher(self, name: str) -> None:
        self._tell("attach", name)

    def kill_root(self) -> None:
        os.kill(self._root, signal.SIGKILL)

    def detach(self, name: str) -> None:
        self._tell("detach", name)

    def begin_to_wait(self) -> Waiting:
        waiting = _Command(self.system)
        self._waiting.append(waiting)
        self.system.wait_for("mark.set", count=len(self._waiting))
        return waiting

    def stop(self) -> AccountingCounts:
        self.system.command("stop")
        self.system.wait()
        [stopped] = self.system.all_of("system.stopped")
        accounting: AccountingCounts = stopped["accounting"]
        return accounting

    def has_ended(self) -> bool:
        return self.system.wait(WITHIN_S) == 0

    def close(self) -> None:
        for each in self._waiting:
            each.close()

    def reach(self, condition: Callable[[SystemStatus], Any], what: str) -> Any:
        return wait_until(lambda: condition(self.status()), what, WITHIN_S)

    def _tell(self, *words: str) -> None:
        code, _, errors = self.system.command(*words)
        assert code == 0, errors


class OnMachines(OnProcesses):
    """The processors of the last kind are on another machine, the rest here.

    They are called as they would be here: `NAME-1`, not `far/NAME-1`.
    """

    def __init__(
        self,
        config: str,
        settings: dict[str, str],
        start_system: Callable[..., System],
        join_system: Callable[..., System],
        directory: Path,
        fetch: str | None = None,
    ) -> None:
        kinds = tomllib.loads(table(config, directory)).get("processor", [])
        before, count, after = config.rpartition("count = ")
        number = re.match(r"\d+", after)
        assert number, config
        config = f"{before}{count}0{after[number.end() :]}"
        gate = f"127.0.0.1:{free_port()}"
        self._prefix = "far/"
        # Nothing is idle before there is a machine to work.
        slower = {"until_idle_s": "15"} if "until_idle_s" in settings else {}
        settings = {"bind": gate, **settings, **slower}
        super().__init__(config, settings, start_system, directory, fetch)
        self._kind = kinds[-1]["name"]
        words: tuple[str, ...] = ("--processor", self._kind)
        words += ("--processors", number[0])
        if "spooled_later:" in config:
            # A machine sees by itself what a module defines, not what it makes.
            named = sorted(set(re.findall(r'"(spooled\w*:\w+)"', config)))
            words += tuple(chain(*(("--allow", each) for each in named)))
        self.member = join_system(gate, "--name", "far", *words)
        self.reach(
            lambda status: len(status["processors"]) >= int(number[0]),
            "the machine has joined",
        )

    def status(self) -> SystemStatus:
        status = super().status()
        for each in status["processors"]:
            each["name"] = each["name"].removeprefix(self._prefix)
        return status

    def ask(self, name: str, count: int) -> None:
        super().ask(self._there(name), count)

    def detach(self, name: str) -> None:
        super().detach(self._there(name))

    def _there(self, name: str) -> str:
        return f"{self._prefix}{name}" if name.startswith(f"{self._kind}-") else name


class _Command:
    def __init__(self, system: System) -> None:
        words = ["wait", "--port", str(system.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actors.main", *words],
            env={key: each for key, each in system.env.items() if "MARK" not in key},
            stdout=subprocess.DEVNULL,
        )

    def is_told(self) -> bool:
        return self._process.poll() == 0

    def close(self) -> None:
        self._process.kill()
        self._process.wait(WITHIN_S)

"""The whole pipeline in one thread, on a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from actors.config.build import build
from actors.config.errors import ConfigError, near
from actors.config.model import FETCHER_OPTIONS, SETTINGS, SystemConfig
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.demand.source_state import NO_STATE
from actors.testing.base import Calm, Observer
from actors.testing.instructions import Instructions
from actors.testing.source import Source
from actors.testing.world import World

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from actors.config.overrides import Changes
    from actors.demand.job import AccountingCounts
    from actors.status.model import SystemStatus
    from actors.testing.base import Node

#: How much virtual time a system gets to come to rest, in seconds.
IDLE_WITHIN_S = 24 * 3600.0
#: How much virtual time a command gets, in seconds.
ANSWER_WITHIN_S = 3600.0
#: How much virtual time a start gets, in seconds.
START_WITHIN_S = 60.0
_STEP_S = 1.0


class NotIdleError(AssertionError):
    """The pipeline did not come to rest; the text says what it waits for."""


class CommandRefusedError(ValueError):
    """The system refused a command; the text is its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message between two processes.

    Attributes:
        at: Virtual seconds since the start.
        sender: Name of the process, such as ``root`` or ``processor-1``.
        receiver: Likewise; None where nobody was at the address.
        content: What was sent.
    """

    at: float
    sender: str
    receiver: str | None
    content: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of an attempt at a job.

    Attributes:
        job: As it was fetched.
        result: What ``process`` returned; None if it failed.
        error: What went wrong; None if nothing did.
        attempt: Counted from 1.
        processor: Who had it.
        at: Virtual seconds since the start.
    """

    job: Any
    result: Any = None
    error: str | None = None
    attempt: int
    processor: str | None
    at: float


class Harness:
    """Fetchers, processors and their root, without a process and without waiting.

    The actors are those of production, and so is the way of every job: demand,
    limits, leases, retries and the journal. Only time, processes and the network
    are of this object's making.

    Args:
        fetch: Called as in production; without it, ``push`` says what there is.
        process: Called with each job; without it a job is its own result.
        processors: How many.
        fetch_s: How long a fetch takes, in virtual seconds.
        process_s: How long a job takes, in virtual seconds.
        route_s: How long ``partition_by`` or the selectors take for a job.
        seed: Of the chance in delays after failures.
        config: A whole configuration, in place of one fetcher and its processors: a
            mapping with what stands in a file, or the file's path. Its ``fetch`` is not
            called: ``push`` says what there is, or ``fetch`` does.
        functions: By the names that the configuration has, as ``"billing:process"``;
            called in place of what Python finds there.
        settings: As in a configuration file: ``max_demand=2``, ``retries=3``,
            ``every_s=0.5``, ``journal="none"`` ..., and each key of a ``[[fetcher]]``:
            ``options={...}``, ``settle=my_function`` ...

    Raises:
        ConfigError: Something of it cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each is by name
        self,
        fetch: Callable[..., Any] | None = None,
        process: Callable[[Any], Any] | None = None,
        *,
        processors: int = 2,
        fetch_s: float = 0.0,
        process_s: float = 0.0,
        route_s: float = 0.0,
        seed: int = 0,
        config: SystemConfig | Mapping[str, Any] | str | Path | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.messages: list[Message] = []
        self.done: list[Ended] = []
        self.failed: list[Ended] = []
        self.quarantined: list[Ended] = []
        self._faults = Calm(seed)
        self._faults.call_s = {
            "fetch": fetch_s,
            "process": process_s,
            "route": route_s,
        }
        known = _checked(functions or {})
        if config is None:
            read = _configure(processors, _named(settings, known))
            known[read.processors[0].process] = process or _itself
        elif process is not None or settings:
            raise ConfigError(
                "Harness: config has all settings and functions itself, so it goes "
                f"with none beside it, got {', '.join(settings) or 'process'}"
            )
        else:
            read = _read(config, known)
        self.sources = {each.name: Source(fetch) for each in read.fetchers}
        sourced = (replace(e, fetch=f"source:{e.name}") for e in read.fetchers)
        read = replace(read, fetchers=tuple(sourced))
        sources = {f"source:{name}": each for name, each in self.sources.items()}
        self._world = World(read, {**known, **sources}, self._faults, _Recorder(self))
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._world.agenda.elapsed

    @property
    def results(self) -> list[Any]:
        """The results of the jobs that are done, in the order of their ends."""
        return [each.result for each in self.done]

    @property
    def accounting(self) -> AccountingCounts:
        """Where every job is."""
        return self.status()["accounting"]

    @property
    def state(self) -> Any:
        """What the source told last, as it is kept; of the first, if there are several.

        None if it has told none, or its ``fetch`` has no parameter ``state``.
        """
        return self.states[next(iter(self.sources))]

    @property
    def states(self) -> dict[str, Any]:
        """What each source told last, by fetcher's name."""
        return {name: json.loads(self._state_of(name)) for name in self.sources}

    def _state_of(self, name: str) -> str:
        if self._world.config.journal is None:
            node = self._world.base.named(name)
            states = node.stage.source.states if node else None
            return states.kept.text if states else NO_STATE
        row = self.journal.execute(
            "SELECT value FROM state JOIN fetcher ON number = fetcher WHERE name = ?",
            (name,),
        ).fetchone()
        return row[0] if row else NO_STATE

    @property
    def journal(self) -> sqlite3.Connection:
        """The journal's database, to look into with SQL, or to trouble.

        Raises:
            ValueError: The pipeline keeps none.
        """
        if self._world.config.journal is None:
            raise ValueError("this pipeline keeps no journal")
        return self._world.database(self._world.config.journal)

    def push(self, jobs: Iterable[Any], fetcher: str | None = None) -> None:
        """Let the source have jobs, which the fetcher's next polls will find.

        An exception among them is raised by ``fetch`` where its turn comes.

        Args:
            jobs: Any JSON values.
            fetcher: Whose source, if there are several.
        """
        name = fetcher or next(iter(self.sources))
        self.sources[name].push(jobs)

    def advance(self, seconds: float) -> None:
        """Let time pass, and all that it brings."""
        self._world.agenda.run(self._world.agenda.now + seconds)

    def run_until_idle(self, within_s: float = IDLE_WITHIN_S) -> None:
        """Let time pass until the sources have no more and every job has ended.

        Raises:
            NotIdleError: It did not come to that in ``within_s`` virtual seconds.
            SystemEndedError: The system ended.
        """
        empty = {name: each.emptied for name, each in self.sources.items()}

        def idle() -> bool:
            self._world.check()
            polled = all(self.sources[name].emptied > empty[name] for name in empty)
            return polled and self._at_rest()

        if not self._run_until(idle, within_s):
            status = self.status()
            raise NotIdleError(
                f"not idle after {within_s:g} virtual seconds: {status['accounting']}, "
                f"fetchers {status['fetchers']}"
            )

    def attach(self, count: int = 1, processor: str | None = None) -> list[str]:
        """Add processors; returns their names once they work."""
        command = {"verb": "attach", "count": count, "processor": processor}
        attached: list[str] = self.command(command)["attached"]
        return attached

    def detach(self, name: str) -> None:
        """Let a processor finish what it has, and leave."""
        self.command({"verb": "detach", "names": [name]})

    def ask(self, name: str, count: int, source: str | None = None) -> None:
        """Let a processor with manual demand ask for jobs, as ``lowtide ask`` does."""
        command = {"verb": "ask", "name": name, "count": count, "source": source}
        self.command(command)

    def crash(self, name: str) -> None:
        """Kill a process, as by SIGKILL; the root takes all others with it."""
        self._world.base.kill(self._node(name))
        if name == "root":
            # The next one is told what a person changed, as the main process does.
            self._start(self._world.changes)

    def crash_at(
        self, instruction: int | None, name: str, within: Iterable[str] = ()
    ) -> Instructions:
        """Kill a process between two of its instructions, wherever that is.

        Args:
            instruction: Before the one of this number from here on, in code of
                ours; None only counts them.
            name: Of the process; its successor lives.
            within: Names of modules, such as ``intake``: count only their own.

        Returns:
            What counts them; ``struck`` says whether it came to that.
        """
        steps = Instructions(name, instruction, tuple(within))
        self._world.base.instructions = steps
        return steps

    def hang(self, name: str) -> None:
        """Stop a process in its tracks, as by SIGSTOP."""
        self._node(name).hung = True

    def resume(self, name: str) -> None:
        """Let a process that hangs go on, as by SIGCONT."""
        self._node(name).resume()

    def lose(self, next: type, count: int = 1) -> None:  # noqa: A002 - reads well
        """Lose the next ``count`` messages of a kind on their way."""
        self._faults.lose(next, count)

    def restart(self) -> None:
        """End all processes at once, and start anew with the journal as it is."""
        self._world.kill()
        self._start()

    def stop(self) -> AccountingCounts:
        """Drain, and end; returns the account."""
        accounting: AccountingCounts = self.command({"verb": "stop"})["accounting"]
        self.advance(_STEP_S)
        return accounting

    def status(self) -> SystemStatus:
        """What ``status --json`` says."""
        status: Any = self.command({"verb": "status"})
        return cast("SystemStatus", status)

    def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send the root a command, as other terminals do; returns the answer.

        Raises:
            CommandRefusedError: The answer is an error.
            NotIdleError: No answer came.
        """
        request = self._world.command(command)
        self._run_until(lambda: request.reply is not None, ANSWER_WITHIN_S)
        if request.reply is None:
            raise NotIdleError(f"no answer to {command}")
        if "error" in request.reply:
            raise CommandRefusedError(request.reply["error"])
        return request.reply

    def close(self) -> None:
        """End it all."""
        self._world.close()

    def _start(self, changes: Changes | None = None) -> None:
        self._world.start(changes)

        def up() -> bool:
            self._world.check()
            return self._world.started

        if not self._run_until(up, START_WITHIN_S):
            raise NotIdleError("the system did not start")

    def _run_until(self, reached: Callable[[], bool], within_s: float) -> bool:
        agenda = self._world.agenda
        deadline = agenda.now + within_s
        while not reached():
            if not agenda.step(deadline):
                return False
        return True

    def _at_rest(self) -> bool:
        return not self._world.base.in_flight and self._world.at_rest()

    def _node(self, name: str) -> Node:
        node = self._world.base.named(name)
        if node is None:
            names = ", ".join(each.name for each in self._world.base.nodes.values())
            raise ValueError(f"there is no process {name!r}, only: {names}")
        return node


class _Recorder(Observer):
    def __init__(self, harness: Harness) -> None:
        self._harness = harness

    def sent(self, sender: Node, receiver: Node | None, message: Any) -> None:
        harness = self._harness
        harness.messages.append(
            Message(
                at=harness.now,
                sender=sender.name,
                receiver=receiver.name if receiver else None,
                content=message,
            )
        )

    def told(self, node: Node, level: str, event: str, fields: dict[str, Any]) -> None:
        harness = self._harness
        at = round(node.base.agenda.elapsed, 6)
        harness.events.append({"event": event, "at": at, "level": level} | fields)
        kinds = {
            "job.done": harness.done,
            "job.failed": harness.failed,
            "job.quarantined": harness.quarantined,
        }
        if event in kinds:
            ended = Ended(
                job=fields["job"],
                result=fields.get("result"),
                error=fields.get("error"),
                attempt=fields["attempt"],
                processor=fields.get("processor"),
                at=at,
            )
            kinds[event].append(ended)


#: What the harness takes itself.
_WORDS = frozenset(("fetch_s", "process_s", "route_s", "seed", "config", "functions"))


def _configure(processors: int, settings: dict[str, Any]) -> SystemConfig:
    known = SETTINGS.keys()
    own = FETCHER_OPTIONS.keys() - known
    for name in settings:
        if name not in known | own:
            raise ConfigError(
                f"Harness: there is no setting {name!r}, only "
                f"{', '.join(sorted(known | own))}{near(name, known | own | _WORDS)}"
            )
    flags = {name: str(each) for name, each in settings.items() if name in known}
    flags |= {"processors": str(processors), "fetch": "source:fetch"}
    table = {name: each for name, each in settings.items() if name in own}
    file = ConfigFile(Path("Harness"), {"fetcher": [{"name": "source"} | table]}, "")
    return build(resolve(flags, {}, file), file)


def _checked(functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    for name in functions:
        if ":" not in name:
            raise ConfigError(
                "Harness: functions are named as the configuration names them, "
                f"MODULE:FUNCTION, got {name!r}"
            )
    return dict(functions)


def _read(
    config: SystemConfig | Mapping[str, Any] | str | Path,
    functions: dict[str, Callable[..., Any]],
) -> SystemConfig:
    """Read a whole configuration; functions in it are noted by a name each."""
    match config:
        case SystemConfig():
            return config
        case str() | Path():
            file = ConfigFile.read(Path(config))
        case Mapping():
            file = ConfigFile(Path("Harness"), _named(config, functions), "")
        case _:
            raise ConfigError(
                "Harness: config must be a mapping with what stands in a configuration "
                f"file, or a file's path, got {config!r}"
            )
    return build(resolve({}, {}, file), file)


def _named(value: Any, functions: dict[str, Callable[..., Any]]) -> Any:
    """Copy what may stand in a configuration, with names for the functions in it."""
    if isinstance(value, Mapping):
        return {key: _named(each, functions) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_named(each, functions) for each in value]
    if not callable(value):
        return value
    name = f"harness:function-{len(functions) + 1}"
    functions[name] = value
    return name


def _itself(job: Any) -> Any:
    return job

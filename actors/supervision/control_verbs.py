"""What another terminal may ask of the root."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.actor_system.system import FILES_EACH, TASKS_EACH
from actors.demand.source_state import StateError, state_text
from actors.host.redaction import masked
from actors.supervision.barriers import Waits
from actors.supervision.children import StageState
from actors.supervision.live_settings import TuningError
from actors.supervision.manual_demand import AskError, Asks
from actors.supervision.messages import (
    Asked,
    DecideJobs,
    DecideState,
    JobsDecided,
    MarkPassed,
    StateDecided,
)
from actors.supervision.status_answer import describe_root

if TYPE_CHECKING:
    from actors.config.model import ProcessorConfig
    from actors.host.control_socket import Request
    from actors.supervision.root import RootActor

#: No more processors than this are attached by one command.
MAX_ATTACH = 256
#: A job's number in the journal: what SQLite can hold.
MAX_KEY = 2**63 - 1


class CommandError(ValueError):
    """The command cannot be carried out; the text says why."""


@dataclass(slots=True, eq=False)
class _Pending:
    request: Request
    names: list[str]
    missing: set[str]
    kinds: dict[str, str]
    errors: list[str] = field(default_factory=list)

    def settle(self, name: str, error: str | None) -> bool:
        if name in self.missing:
            self.missing.discard(name)
            if error:
                self.errors.append(f"{name}: {error}")
        return not self.missing


@dataclass(slots=True, eq=False)
class _Decision:
    request: Request
    missing: int
    count: int = 0
    errors: list[str] = field(default_factory=list)


class Commands:
    """Carries out commands, and answers each when its work is done."""

    def __init__(self, root: RootActor) -> None:
        self._root = root
        self._attaching: list[_Pending] = []
        self._detaching: list[_Pending] = []
        self._deciding: dict[int, _Decision] = {}
        self._states: dict[int, Request] = {}
        self._decisions = 0
        self.asks = Asks(root)
        self.waits = Waits(root)

    def run(self, request: Request) -> None:
        """Carry out one command; whatever is wrong with it is the answer."""
        verbs = {
            "status": self._status,
            "attach": self._attach,
            "detach": self._detach,
            "stop": self._stop,
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
            "ask": self.asks.run,
            "wait": self._wait,
            "jobs": self._jobs,
            "journal": self._journal,
            "state": self._state,
            "begin": self._begin,
        }
        verb = request.command.get("verb")
        if not isinstance(verb, str) or verb not in verbs:
            expected = ", ".join(verbs)
            request.answer({"error": f"expected one of {expected}, got {verb!r}"})
            return
        try:
            verbs[verb](request)
        except (CommandError, TuningError, AskError) as error:
            request.answer({"error": str(error)})

    def heard(self, message: JobsDecided | StateDecided | Asked | MarkPassed) -> None:
        """A stage has done its part of a command."""
        match message:
            case JobsDecided():
                self._jobs_decided(message)
            case StateDecided():
                self._state_decided(message)
            case Asked():
                self.asks.heard(message)
            case MarkPassed():
                self.waits.passed(message)

    def _jobs_decided(self, decided: JobsDecided) -> None:
        if (pending := self._deciding.get(decided.number)) is None:
            return
        pending.count += decided.count
        pending.missing -= 1
        if decided.error:
            pending.errors.append(f"the journal cannot be written: {decided.error}")
        if pending.missing:
            return
        del self._deciding[decided.number]
        if pending.errors:
            pending.request.answer({"error": "; ".join(pending.errors)})
        else:
            pending.request.answer({"count": pending.count})

    def stage_started(self, name: str) -> None:
        """A processor is ready."""
        self._count(self._attaching, name, 1)
        self._attaching = _settle(self._attaching, name, None, "attached")

    def stage_failed(self, name: str, error: str) -> None:
        """A processor cannot be started."""
        self._attaching = _settle(self._attaching, name, error, "attached")

    def stage_detached(self, name: str) -> None:
        """A processor has finished and is gone."""
        self._count(self._detaching, name, -1)
        self._detaching = _settle(self._detaching, name, None, "detached")

    def stage_exited(self, name: str) -> None:
        """A processor's process has ended."""
        self.asks.stage_exited(name)

    def _count(self, pending: list[_Pending], name: str, more: int) -> None:
        # Two commands may wait for the same one, which counts once; one elsewhere
        # is counted by the root of its own machine.
        waiting = (each for each in pending if name in each.missing)
        kinds = [each.kinds[name] for each in waiting if name in each.kinds]
        for kind in kinds[:1]:
            self._root.reporter.counted(kind, more)

    def _begin(self, _: Request) -> None:
        self._root.let_begin()

    def _status(self, request: Request) -> None:
        root = self._root
        root.ask_all(lambda answers: request.answer(describe_root(root, answers)))

    def _attach(self, request: Request) -> None:
        if self._root.shutdown.draining:
            raise CommandError("the system is draining: nothing is attached any more")
        count = request.command.get("count", 1)
        if type(count) is not int or not 1 <= count <= MAX_ATTACH:
            raise CommandError(f"count must be from 1 to {MAX_ATTACH}, got {count!r}")
        kind = self._kind(request.command.get("processor"))
        self._check_limits(count)
        names = self._root.supervisor.attach(kind, count)
        kinds = dict.fromkeys(names, kind.name)
        self._attaching.append(_Pending(request, names, set(names), kinds))

    def _check_limits(self, count: int) -> None:
        edges = self._root.edges
        if FILES_EACH * count > (left := edges.descriptors_left()):
            raise CommandError(
                f"the root may open {left} more files, and {count} more processors "
                f"need {FILES_EACH * count}; ulimit -n sets that before the start"
            )
        tasks = TASKS_EACH * count
        if (free := edges.tasks_left(tasks)) is not None and free < tasks:
            raise CommandError(
                f"this user may start {max(0, free)} more processes and threads, and "
                f"{count} more processors need {tasks}; ulimit -u sets that before "
                "the start"
            )

    def _kind(self, name: Any) -> ProcessorConfig:
        kinds = {each.name: each for each in self._root.config.processors}
        if name is None and len(kinds) == 1:
            return next(iter(kinds.values()))
        if not isinstance(name, str) or name not in kinds:
            raise CommandError(
                f"processor must be one of {', '.join(kinds)}, got {name!r}"
            )
        return kinds[name]

    def _detach(self, request: Request) -> None:
        names = _names(request) or self._last(request.command.get("count", 1))
        members = []
        elsewhere = {process.name for _, process in self._root.remote.processes}
        for name in names:
            member = self._root.processors.get(name)
            if member is None and name in elsewhere:
                continue
            if member is None:
                known = ", ".join(each.name for each in self._root.processors) or "none"
                raise CommandError(f"there is no processor {name!r}, only: {known}")
            members.append(member)
        kinds = {each.name: each.config.name for each in members}
        pending = _Pending(request, list(names), set(names), kinds)
        self._detaching.append(pending)
        for name in elsewhere.intersection(names):
            self._root.remote.order("detach", name)
        for member in members:
            self._root.supervisor.detach(member)
            if self._root.processors.get(member.name) is None:
                self.stage_detached(member.name)

    def _last(self, count: Any) -> list[str]:
        names = [
            each.name
            for each in self._root.processors
            if each.state is not StageState.DRAINING
        ]
        if type(count) is not int or not 1 <= count <= len(names):
            raise CommandError(
                f"count must be from 1 to the {len(names)} processors there are, "
                f"got {count!r}"
            )
        return names[-count:]

    def _journal(self, request: Request) -> None:
        request.answer({"journal": self._root.config.journal})

    def _jobs(self, request: Request) -> None:
        action = request.command.get("action")
        keys: Any = request.command.get("keys")
        if action not in ("retry", "discard") or not _are_keys(keys):
            raise CommandError(
                "expected an action, retry or discard, and keys, the jobs' numbers by "
                "the fetchers' names"
            )
        for name in keys:
            fetcher = self._root.fetchers.get(name)
            if fetcher is None or fetcher.state is not StageState.RUNNING:
                raise CommandError(f"fetcher {name!r} is not running")
        self._decisions += 1
        self._deciding[self._decisions] = _Decision(request, missing=len(keys))
        for name, wanted in keys.items():
            decide = DecideJobs(
                number=self._decisions, action=action, keys=tuple(wanted)
            )
            self._root.tell(name, decide)

    def _state(self, request: Request) -> None:
        name: Any = request.command.get("fetcher")
        action = request.command.get("action")
        if action not in ("show", "set"):
            raise CommandError(f"expected an action, show or set, got {action!r}")
        fetcher = self._root.fetchers.get(name) if isinstance(name, str) else None
        if fetcher is None:
            known = ", ".join(each.name for each in self._root.fetchers)
            raise CommandError(f"there is no fetcher {name!r}, only: {known}")
        if fetcher.state is not StageState.RUNNING:
            raise CommandError(f"fetcher {name!r} is not running")
        try:
            text = None if action == "show" else state_text(request.command["state"])
        except (KeyError, StateError) as error:
            raise CommandError(f"expected a state: {error}") from None
        self._decisions += 1
        self._states[self._decisions] = request
        self._root.tell(name, DecideState(number=self._decisions, text=text))

    def _state_decided(self, decided: StateDecided) -> None:
        if (request := self._states.pop(decided.number, None)) is None:
            return
        if decided.error:
            request.answer({"error": decided.error})
        else:
            state = masked(json.loads(decided.text))
            request.answer({"state": state, "age_s": decided.age_s})

    def _pause(self, request: Request) -> None:
        hold = request.command.get("hold") is True
        names = self._root.tuning.pause(_names(request), hold=hold)
        request.answer({"paused": names})

    def _resume(self, request: Request) -> None:
        request.answer({"resumed": self._root.tuning.resume(_names(request))})

    def _set(self, request: Request) -> None:
        values = request.command.get("values")
        if not isinstance(values, dict):
            raise CommandError(f"values must be an object, got {values!r}")
        request.answer({"set": self._root.tuning.change(values, _names(request))})

    def _wait(self, request: Request) -> None:
        self.waits.run(request, _names(request))

    def _stop(self, request: Request) -> None:
        at_once = request.command.get("now") is True
        self._root.shutdown.stop(
            self._root.now(),
            at_once=at_once,
            then=lambda accounting: request.answer({"accounting": accounting}),
        )


def _names(request: Request) -> list[str]:
    names = request.command.get("names") or []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise CommandError(f"names must be a list of names, got {names!r}")
    return names


def _are_keys(keys: Any) -> bool:
    return (
        isinstance(keys, dict)
        and bool(keys)
        and all(
            isinstance(each, list) and all(map(_is_key, each)) for each in keys.values()
        )
    )


def _is_key(key: Any) -> bool:
    return type(key) is int and 0 <= key <= MAX_KEY


def _settle(
    pending: list[_Pending], name: str, error: str | None, word: str
) -> list[_Pending]:
    still = []
    for each in pending:
        if not each.settle(name, error):
            still.append(each)
            continue
        if each.errors:
            each.request.answer({"error": "; ".join(each.errors)})
        else:
            each.request.answer({word: each.names})
    return still

"""What another terminal may ask of the stages, and the answer when they are done."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from actors.actor_system.user_limits import FILES_EACH, TASKS_EACH
from actors.demand.source_state import StateError, state_text
from actors.host.redaction import masked
from actors.status import commands
from actors.supervision.children import Fate, StageState
from actors.supervision.gather import Gather
from actors.supervision.messages import (
    BarrierPassed,
    DecideJobs,
    DecideState,
    DemandGranted,
    Flush,
    GrantDemand,
    JobsDecided,
    SetBarrier,
    StateDecided,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from actors.actor_system.environment import Environment
    from actors.config.model import FetcherConfig, ProcessorConfig
    from actors.demand.job import Process
    from actors.host.control_socket import Request
    from actors.supervision.actor import Means
    from actors.supervision.effects import Effect
    from actors.supervision.gather import Question
    from actors.supervision.supervisor import Supervisor

#: No more processors than this are attached by one command.
MAX_ATTACH = 256
#: A job's number in the journal: what SQLite can hold.
MAX_KEY = 2**63 - 1
#: How long a word to processors may be on its way, in seconds: a line between
#: machines loses what it carries when it ends.
ASKED_WITHIN_S = 10.0


#: How often an order to another machine is repeated, in seconds.
AGAIN_S = 1.0

#: The dispatcher that makes a copy of each job for each kind.
BROADCAST = "broadcast"


class CommandError(ValueError):
    """The command cannot be carried out; the text says why."""


def run(verbs: Mapping[str, Callable[[Request], None]], request: Request) -> None:
    """Carry out one command; whatever is wrong with it is the answer."""
    verb = request.command.get("verb")
    if not isinstance(verb, str) or verb not in verbs:
        expected = ", ".join(verbs)
        request.answer({"error": f"expected one of {expected}, got {verb!r}"})
        return
    try:
        verbs[verb](request)
    except CommandError as error:
        request.answer({"error": str(error)})


def names_in(request: Request) -> list[str]:
    """The names in a command, if there are any.

    Raises:
        CommandError: They are none.
    """
    # Whatever the verb is: those that take names have them alike.
    names: Any = commands.Wait.of(request.command).names or []
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise CommandError(f"names must be a list of names, got {names!r}")
    return names


def fetchers_named(supervisor: Supervisor, request: Request) -> list[str]:
    """The fetchers that a command names, all if it names none.

    Raises:
        CommandError: There is no such fetcher.
    """
    known = [each.name for each in supervisor.fetchers]
    chosen = names_in(request) or known
    if unknown := set(chosen) - set(known):
        names = [", ".join(sorted(each)) for each in (unknown, known)]
        raise CommandError(f"there is no fetcher {names[0]}, only: {names[1]}")
    return chosen


class FetcherVerbs:
    """Carries out what a person wants of fetchers.

    These are ``jobs``, ``state``, ``wait``, and ``detach`` and ``attach`` of them.

    A fetcher that dies before it has answered is named in the answer. A wait alone
    goes on: its mark is set again in the restarted fetcher, behind all that the
    journal has, so it never passes too early.
    """

    def __init__(self, means: Means, elsewhere: Elsewhere) -> None:
        self._means = means
        self._elsewhere = elsewhere
        self._decisions = Gather()
        self._marks = Gather()
        self._detaching = Gather()
        self._attaching = Gather()
        self._flush_at: float | None = None
        self._detached: dict[str, FetcherConfig] = {}

    def begin(self, detached: Iterable[str]) -> None:
        """Note the fetchers that are not to run, under the root before either."""
        configs = {e.name: e for e in self._means.supervisor.system.fetchers}
        self._detached = {name: configs[name] for name in detached if name in configs}

    def tick(self, now: float) -> None:
        """See that no batch holds up a fetcher that is to leave."""
        if self._flush_at is None or now < self._flush_at:
            return
        leaving = [
            each.config.name
            for each in self._means.supervisor.fetchers
            if each.name in self._detached
        ]
        self._flush_at = now + AGAIN_S if leaving else None
        if leaving:
            # What its batches lack may be anywhere behind it.
            for each in self._means.supervisor.processors:
                self._means.tell(each.name, Flush())
            self._means.carry_out(self._elsewhere.tell_processes(Flush()))

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        return self._flush_at

    def answered(self, message: JobsDecided | StateDecided | BarrierPassed) -> None:
        """Note that a fetcher has done its part."""
        if isinstance(message, BarrierPassed):
            self._marks.answered(message.number, message.name)
        else:
            self._decisions.answered(message.number, message.name, message)

    def started(self, name: str) -> None:
        """Tell a restarted fetcher what it cannot know."""
        self._attaching.answered_to_all(name)
        for number in self._marks.waiting_for(name):
            self._means.tell(name, SetBarrier(number=number))

    def exited(self, name: str, fate: Fate) -> None:
        """Answer those who asked a fetcher that has died, or has left."""
        error = "died before it answered; what it had decided by then, its journal has"
        self._decisions.answered_to_all(name, error=error)
        if fate is Fate.REMOVED:
            self._marks.answered_to_all(name, error="it was detached")
            self._detaching.answered_to_all(name)

    def failed(self, name: str, error: str) -> None:
        """Note that a fetcher cannot be started."""
        self._attaching.answered_to_all(name, error=error)

    def detach(self, request: Request) -> None:
        """Carry out ``detach`` of fetchers: they finish what is out, and leave.

        Raises:
            CommandError: There is no such fetcher.
        """
        supervisor = self._means.supervisor
        chosen = list(dict.fromkeys(fetchers_named(supervisor, request)))

        def over(question: Question) -> None:
            answer = commands.Detached(detached=chosen)
            if supervisor.system.journal is not None:
                names = ", ".join(chosen)
                kept = f"what {names} had not handed out stays in the journal, until"
                answer["follows"] = [f"{kept} lowtide attach {' '.join(chosen)}"]
            request.answer(question.reply(answer))

        self._detaching.ask(chosen, over)
        for name in chosen:
            child = supervisor.fetchers.get(name)
            assert child is not None  # noqa: S101 - looked up just before
            self._detached[name] = child.config
            self._means.reporter.detached(name)
            self._means.carry_out(supervisor.detach(child))
        self._flush_at = self._means.now()

    def attach(self, request: Request, *, draining: bool) -> None:
        """Carry out ``attach`` of fetchers that were detached.

        Raises:
            CommandError: One of them was not, or the system is to end.
        """
        if draining:
            raise CommandError("the system is draining: nothing is attached any more")
        chosen = list(dict.fromkeys(names_in(request)))
        supervisor = self._means.supervisor
        for name in chosen:
            if supervisor.fetchers.get(name) is not None:
                what = "is still leaving" if name in self._detached else "is there"
                raise CommandError(f"fetcher {name!r} {what}")
            if name not in self._detached:
                known = ", ".join(self._detached) or "none"
                raise CommandError(f"no fetcher {name!r} was detached, only: {known}")

        def over(question: Question) -> None:
            request.answer(question.reply(commands.Attached(attached=chosen)))

        self._attaching.ask(chosen, over)
        now = self._means.now()
        for name in chosen:
            supervisor.fetchers.add(name, self._detached.pop(name), now)
            self._means.reporter.attached(name)
        self._means.carry_out(supervisor.tick(now))

    def jobs(self, request: Request) -> None:
        """Carry out ``jobs``: retry or discard what is quarantined, cancel what is not.

        Raises:
            CommandError: A word of it is wrong, or a fetcher is not running.
        """
        command = commands.DecideJobs.of(request.command)
        action, keys = command.action, command.keys
        if action not in ("retry", "discard", "cancel") or not _are_keys(keys):
            raise CommandError(
                "expected an action, retry, discard or cancel, and keys, the jobs' "
                "numbers by the fetchers' names"
            )
        for name in keys:
            self._check_running(name)

        def over(question: Question) -> None:
            decided = question.answers.values()
            count = sum(each.count for each in decided)
            failed = [each.error for each in decided if each.error]
            question.errors[:0] = [
                f"the journal cannot be written: {e}" for e in failed
            ]
            request.answer(question.reply(commands.Decided(count=count)))

        number = self._decisions.ask(keys, over)
        for name, wanted in keys.items():
            decide = DecideJobs(number=number, action=action, keys=tuple(wanted))
            self._means.tell(name, decide)

    def state(self, request: Request) -> None:
        """Carry out ``state``: show a source's, or set another.

        Raises:
            CommandError: A word of it is wrong, or the fetcher is not running.
        """
        command = commands.SourceState.of(request.command)
        name, action = command.fetcher, command.action
        if action not in ("show", "set"):
            raise CommandError(f"expected an action, show or set, got {action!r}")
        fetchers = self._means.supervisor.fetchers
        if not isinstance(name, str) or fetchers.get(name) is None:
            known = ", ".join(each.name for each in fetchers)
            raise CommandError(f"there is no fetcher {name!r}, only: {known}")
        self._check_running(name)
        try:
            if action == "set" and "state" not in request.command:
                raise CommandError("expected a state: 'state'")
            text = None if action == "show" else state_text(command.state)
        except StateError as error:
            raise CommandError(f"expected a state: {error}") from None

        def over(question: Question) -> None:
            answer: commands.SourceStateIs | commands.Refusal | None = None
            for decided in question.answers.values():
                state = masked(json.loads(decided.text))
                answer = {"state": state, "age_s": decided.age_s}
                if decided.error:
                    answer = {"error": decided.error}
            request.answer(question.reply(answer or {}))

        number = self._decisions.ask([name], over)
        self._means.tell(name, DecideState(number=number, text=text))

    def wait(self, request: Request) -> None:
        """Carry out ``wait``: answer when all that was fetched has ended.

        Raises:
            CommandError: There is no such fetcher.
        """
        chosen = fetchers_named(self._means.supervisor, request)
        number = 0

        def over(question: Question) -> None:
            if not question.errors:
                self._means.log.info("mark.passed", number=number)
            request.answer(question.reply(commands.Passed(passed=chosen)))

        number = self._marks.ask(chosen, over)
        self._means.log.info("mark.set", number=number, fetchers=chosen)
        for name in chosen:
            self._means.tell(name, SetBarrier(number=number))

    def _check_running(self, name: str) -> None:
        fetcher = self._means.supervisor.fetchers.get(name)
        if fetcher is None or fetcher.state is not StageState.RUNNING:
            raise CommandError(f"fetcher {name!r} is not running")


class Elsewhere(Protocol):
    """The processors on other machines."""

    @property
    def processes(self) -> Iterator[tuple[Any, Process]]:
        """Each that works, with its machine."""

    @property
    def processors(self) -> Iterator[Process]:
        """Each, those that wait for a restart among them."""

    def order(self, verb: str, process: Process, message: Any = None) -> list[Effect]:
        """Have one killed, detached, or told something."""

    def tell_processes(self, message: Any) -> list[Effect]:
        """Have each of them told something."""


class _Processor(NamedTuple):
    name: str
    kind: str
    run: str
    process: Process | None


class ProcessorVerbs:
    """Carries out what a person wants of processors: ``attach``, ``detach``, ``ask``.

    What to ask for by hand travels as a running total for each run of a processor,
    so that a message that comes twice asks for nothing twice. What a processor was
    told ends with its process, as all demand does.
    """

    def __init__(
        self, means: Means, elsewhere: Elsewhere, environment: Environment
    ) -> None:
        self._means = means
        self._supervisor = means.supervisor
        self._elsewhere = elsewhere
        self._environment = environment
        self._attaching = Gather()
        self._detaching = Gather()
        self._grants = Gather()
        self._totals: Counter[tuple[str, str | None]] = Counter()
        # One elsewhere is counted by the root of its own machine.
        self._to_attach: dict[str, str] = {}
        self._to_detach: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._order_at: float | None = None

    def tick(self, now: float) -> None:
        """Answer for processors of which nothing was heard; repeat orders."""
        self._grants.tick(now)
        if self._order_at is not None and now >= self._order_at:
            self._order_to_leave()

    def next_tick(self) -> float | None:
        """When ``tick`` has something to do, in monotonic seconds."""
        times = [self._grants.next_tick(), self._order_at]
        return min((each for each in times if each is not None), default=None)

    def started(self, name: str) -> None:
        """Note that a processor is ready."""
        if (kind := self._to_attach.pop(name, None)) is not None:
            self._means.reporter.counted(kind, 1)
        self._attaching.answered_to_all(name)

    def failed(self, name: str, error: str) -> None:
        """Note that a processor cannot be started."""
        self._to_attach.pop(name, None)
        self._attaching.answered_to_all(name, error=error)

    def exited(self, name: str, fate: Fate) -> None:
        """Note that a processor is no more; it may have left, as it was told to."""
        self._grants.answered_to_all(name, error="died before it heard")
        if fate.is_final:
            self._detached(name)

    def asked(self, message: DemandGranted) -> None:
        """Note that a processor has heard what to ask for, or refused."""
        self._grants.answered(message.number, message.name, error=message.error)

    def attach(self, request: Request, *, draining: bool) -> None:
        """Carry out ``attach``.

        Raises:
            CommandError: A word of it is wrong, or there is no room.
        """
        if draining:
            raise CommandError("the system is draining: nothing is attached any more")
        command = commands.Attach.of(request.command)
        count = command.count
        if type(count) is not int or not 1 <= count <= MAX_ATTACH:
            raise CommandError(f"count must be from 1 to {MAX_ATTACH}, got {count!r}")
        kind = self._kind(command.processor)
        self._check_limits(count)
        now = self._means.now()
        names = self._supervisor.attach(kind, count, now)
        self._to_attach |= dict.fromkeys(names, kind.name)

        def over(question: Question) -> None:
            request.answer(question.reply(commands.Attached(attached=names)))

        self._attaching.ask(names, over)
        self._means.carry_out(self._supervisor.tick(now))

    def detach(self, request: Request) -> None:
        """Carry out ``detach``.

        Raises:
            CommandError: A word of it is wrong, or there is no such processor.
        """
        count = commands.Detach.of(request.command).count
        names = names_in(request) or self._last(1 if count is None else count)
        names = list(dict.fromkeys(names))
        elsewhere = {each.name: each for each in self._elsewhere.processors}
        here = {each.name: each for each in self._supervisor.processors}
        if unknown := [each for each in names if each not in here | elsewhere]:
            known = ", ".join(here | elsewhere) or "none"
            raise CommandError(f"there is no processor {unknown[0]!r}, only: {known}")
        kinds = {each.config.name for name, each in here.items() if name in names}
        kinds |= {each.kind for name, each in elsewhere.items() if name in names}

        def over(question: Question) -> None:
            answer = commands.Detached(detached=names)
            if follows := self._what_follows(kinds):
                answer["follows"] = follows
            request.answer(question.reply(answer))

        self._detaching.ask(names, over)
        for name in names:
            if (child := here.get(name)) is None:
                self._leaving.add(name)
                self._order_to_leave()
                continue
            self._to_detach[name] = child.config.name
            self._means.carry_out(self._supervisor.detach(child))
            if self._supervisor.processors.get(name) is None:
                self._detached(name)

    def ask(self, request: Request) -> None:
        """Carry out ``ask``: a kind's processes share the jobs among them.

        Raises:
            CommandError: There is no such processor, or the count is none.
        """
        command = commands.AskJobs.of(request.command)
        count, source = command.count, command.source
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise CommandError(f"count must be a whole number from 0, got {count!r}")
        chosen = self._to_ask(command.name)
        share, rest = divmod(count, len(chosen))
        shares = {
            each.name: share + (place < rest) for place, each in enumerate(chosen)
        }

        def over(question: Question) -> None:
            request.answer(question.reply(commands.Asked(asked=shares)))

        until = self._means.now() + ASKED_WITHIN_S
        number = self._grants.ask(shares, over, until=until)
        for each in chosen:
            self._totals[each.run, source] += shares[each.name]
            total = self._totals[each.run, source]
            ask_for = GrantDemand(number=number, total=total, source=source)
            if each.process is None:
                self._means.tell(each.name, ask_for)
            else:
                order = self._elsewhere.order("tell", each.process, ask_for)
                self._means.carry_out(order)

    def _order_to_leave(self) -> None:
        # Said again each second: a line that ends loses what it carries.
        for process in self._elsewhere.processors:
            if process.name in self._leaving:
                self._means.carry_out(self._elsewhere.order("detach", process))
        self._order_at = self._means.now() + AGAIN_S if self._leaving else None

    def _what_follows(self, kinds: Iterable[str]) -> list[str]:
        """Say what becomes of jobs for kinds of which no process may be left."""
        supervisor = self._supervisor
        there = {each.config.name for each in supervisor.processors}
        there |= {each.kind for each in self._elsewhere.processors}
        configs = {each.name: each for each in supervisor.system.processors}
        stages = [(e.config.name, e.config.dispatcher) for e in supervisor.fetchers]
        stages += [(name, each.dispatcher) for name, each in configs.items()]
        follows = []
        for kind in sorted(set(kinds) - there):
            for source, dispatcher in stages:
                if source not in configs[kind].sources:
                    continue
                others = [
                    name
                    for name, each in configs.items()
                    if name in there and source in each.sources
                ]
                if dispatcher == BROADCAST:
                    follows.append(
                        f"no processor of {kind} is left: its copies of what "
                        f"{source} hands out wait, until a full buffer stops all"
                    )
                elif not others:
                    follows.append(
                        f"no processor takes from {source} any more: its jobs wait"
                    )
        return follows

    def _detached(self, name: str) -> None:
        self._leaving.discard(name)
        if (kind := self._to_detach.pop(name, None)) is not None:
            self._means.reporter.counted(kind, -1)
        self._detaching.answered_to_all(name)

    def _check_limits(self, count: int) -> None:
        if FILES_EACH * count > (left := self._environment.descriptors_left()):
            raise CommandError(
                f"the root may open {left} more files, and {count} more processors "
                f"need {FILES_EACH * count}; ulimit -n sets that before the start"
            )
        tasks = TASKS_EACH * count
        if (free := self._environment.tasks_left(tasks)) is not None and free < tasks:
            raise CommandError(
                f"this user may start {max(0, free)} more processes and threads, and "
                f"{count} more processors need {tasks}; ulimit -u sets that before "
                "the start"
            )

    def _kind(self, name: Any) -> ProcessorConfig:
        kinds = {each.name: each for each in self._supervisor.system.processors}
        if name is None and len(kinds) == 1:
            return next(iter(kinds.values()))
        if not isinstance(name, str) or name not in kinds:
            raise CommandError(
                f"processor must be one of {', '.join(kinds)}, got {name!r}"
            )
        return kinds[name]

    def _last(self, count: Any) -> list[str]:
        names = [
            each.name
            for each in self._supervisor.processors
            if each.state is not StageState.DRAINING
        ]
        if not names and (there := [e.name for e in self._elsewhere.processors]):
            raise CommandError(
                "no processor is on this machine: name those that are to leave, of "
                f"{', '.join(there)}"
            )
        if type(count) is not int or not 1 <= count <= len(names):
            raise CommandError(
                f"count must be from 1 to the {len(names)} processors there are, "
                f"got {count!r}"
            )
        return names[-count:]

    def _to_ask(self, name: Any) -> list[_Processor]:
        known = [
            _Processor(each.name, each.config.name, each.run, None)
            for each in self._supervisor.processors
            if each.state is StageState.RUNNING
        ]
        for _, process in self._elsewhere.processes:
            known.append(_Processor(process.name, process.kind, process.run, process))
        named = [each for each in known if each.name == name]
        chosen = named or [each for each in known if each.kind == name]
        if not chosen:
            names = ", ".join(each.name for each in known) or "none"
            raise CommandError(f"no processor {name!r} is running, only: {names}")
        kinds = {each.name: each for each in self._supervisor.system.processors}
        if not kinds[chosen[0].kind].is_manual:
            raise CommandError(
                f"{chosen[0].kind} asks by itself: its table would have to "
                "say demand = 'manual'"
            )
        return chosen


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

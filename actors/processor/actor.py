"""The processor: asks for jobs, runs them, reports the outcomes.

One that other processors take from passes its results on to them; its
``StepOutput`` has that side.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import Address, Stage
from actors.config.named_functions import routing_of
from actors.config.option import AUTO
from actors.demand.consumer import Consumer, Send
from actors.demand.job import CALLED_OFF, Process
from actors.demand.messages import (
    CallOff,
    Cancel,
    Confirm,
    Crossing,
    Demand,
    Done,
    Jobs,
    Ping,
    Subscribe,
    Subscribed,
    halves_of,
    shorter,
    undeliverable,
)
from actors.demand.producer import Decision
from actors.demand.windows import LATE_S, AutoWindow, Batching
from actors.host import forks
from actors.host.frames import MAX_MESSAGE
from actors.processor.executor_runner import Broken, ExecutorRunner
from actors.processor.grants import Grants, manual_demand_of
from actors.processor.loop_runner import LoopRunner
from actors.processor.process_call import Calling, ThreadRunner
from actors.processor.progress import shown
from actors.processor.set_up import IsSetUp, SetUp
from actors.processor.step_output import StepOutput
from actors.processor.time_limit import TimeLimit
from actors.supervision.messages import (
    AskSign,
    Drain,
    Drained,
    Flush,
    GrantDemand,
    Overdue,
    ProcessGone,
    Sign,
    SourceGone,
    SourceUp,
    Started,
    StartProcessor,
    StatusAnswer,
    StatusRequest,
    Tune,
    Up,
)
from actors.user_code.failures import describe
from actors.user_code.functions import check_call, is_async
from actors.user_code.versions import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.job import Failure
    from actors.demand.job_routing import Routes
    from actors.processor.process_call import Ended, Runner
    from actors.status.model import JobProgress, ProcessorAnswer

#: How long the outcomes may take to be confirmed of a processor that is to be
#: replaced, in seconds.
HAND_OVER_S = 2.0

#: How long what has ended beside others waits for those of its moment, in seconds:
#: a message, a transaction and an answer are for all of them.
COMPANY_S = 0.0005

#: After how long a set-up that has not returned is told of, in seconds.
SET_UP_SLOW_S = 5.0
_SLOW_HINT = "it has not returned; a system that starts polls once all have"
#: How many go together at most, while what comes in their place is waited for.
TOGETHER = 16


def _nothing() -> None:
    """Set nothing up."""


class ProcessorActor(Stage):
    """Runs the user's function beside its mailbox, which so stays open."""

    consumer: Consumer
    config: ProcessorConfig
    _grants: Grants
    _auto_window: AutoWindow

    def __init__(self) -> None:
        super().__init__()
        self._root: Address | None = None
        self._name = ""
        self._sources: dict[str, SourceUp] = {}
        self._output: StepOutput | None = None
        self._runner: Runner | None = None
        self._batching: Batching | None = None
        self.is_auto = False
        self._done = 0
        self._failed = 0
        self._told_drained = False
        self._limit: TimeLimit | None = None
        self._is_leaving = False
        self._is_stuck = False
        self._leave_at: float | None = None
        self._told_overdue = False
        self._began_at = 0.0
        self._look_at: float | None = None
        self._take_at: float | None = None
        self._is_taking = False
        self._set_up_slow_at: float | None = None

    def receive(  # noqa: C901 - one arm a message
        self, message: Any, sender: Address
    ) -> None:
        """Handle one message."""
        if isinstance(message, StartProcessor):
            if self._root is None:
                self._start(message, sender)
            return
        if self._root is None:
            return
        now = self.now()
        match message:
            case SourceUp():
                self._subscribe(message, now)
            case SourceGone(name=name):
                self._send(self.consumer.close(name))
            case Drain():
                self._send(self.consumer.drain(now))
            case Flush():
                self._flush(now)
            case Tune(config=config):
                self._tune(config)
            case GrantDemand():
                self._ask_for(message)
            case StatusRequest():
                self._tell_status(message, sender)
            case AskSign():
                self.send(sender, Sign(name=self._name))
            case _:
                self._hear(message, sender, now)
        self._run_next()
        self._tell_if_drained()

    def too_long(self, message: Any, size: int) -> None:
        """Send in halves, and fail what no message can hold."""
        match message:
            case Up(source=source, message=Done() as done):
                for part in shorter(done, size, MAX_MESSAGE):
                    self._send([Send(source, part)])
            case Done() as done:
                for part in shorter(done, size, MAX_MESSAGE):
                    self._send(self.consumer.addressed(part))
            case Jobs() | Confirm() | CallOff() if self._output is not None:
                self._pass_on_less(message, size)
            case _:
                super().too_long(message, size)

    def _pass_on_less(self, message: Jobs | Confirm | CallOff, size: int) -> None:
        assert self._output is not None  # noqa: S101 - asked before
        if halves := halves_of(message):
            self._turn([], Decision(sends=list(halves)))
            return
        if not isinstance(message, Jobs):
            super().too_long(message, size)
            return
        now = self.now()
        for job in message.jobs:
            failed = undeliverable(message.subscription, job, size, MAX_MESSAGE)
            self._turn(*self._output.failed(failed, now, self.chance))

    def tick(self, now: float) -> None:
        """Repeat what got no answer; end jobs that take too long."""
        if self._root is None:
            return
        self._send(self.consumer.tick(now))
        if self._output is not None:
            self._turn(*self._output.tick(now))
        if self._take_at is not None and now >= self._take_at:
            self._take_all()
        self._end_what_is_late(now)
        if self._look_at is not None and now >= self._look_at:
            self._look(now)
        if self._set_up_slow_at is not None and now >= self._set_up_slow_at:
            self._set_up_slow_at = None
            self.log.warning("setup.slow", setup=self._made_by, hint=_SLOW_HINT)
        self._run_next()
        self._tell_if_drained()

    def next_tick(self) -> float | None:
        """When something is to be repeated or retried, is due, or is overdue."""
        if self._root is None:
            return None
        times = [self.consumer.next_tick(), self._leave_at]
        times += [self._look_at, self._take_at, self._set_up_slow_at]
        if self._output is not None:
            times.append(self._output.next_tick())
        if self._batching is not None and self.consumer.may_begin:
            times.append(self._batching.due_at)
        if self._limit and self._runner and self.consumer.running_count:
            times.append(self._limit.next_at(self._runner.calling.runs, self.now()))
        return min((each for each in times if each is not None), default=None)

    def _start(self, message: StartProcessor, root: Address) -> None:
        self.config = config = message.config
        self._name = message.name
        self.log = self.environment.log(
            message.system.log_level, processor=message.name
        )
        if config.batch_size is not None:
            self._batching = Batching(config.batch_size, config.batch_timeout_s)
        self._auto_window = AutoWindow(config.concurrency)
        process = self._describe(message)
        self.consumer = Consumer(
            process,
            manual_demand=manual_demand_of(config),
            windows=config.windows,
            batch_size=config.batch_size or 1,
            concurrency=config.concurrency,
        )
        self._grants = Grants(self.consumer, message.name, self.environment, self.log)
        self._tune(config)
        self._root = root
        if (limit_s := message.system.job_timeout_s) is not None:
            self._limit = TimeLimit(limit_s)
        error = None
        try:
            self._check_versions(message.versions)
            self._load(config, message.system)
        except ValueError as problem:
            error = str(problem)
        if error is not None or not config.is_set_up:
            self._tell_started(error)
        else:
            self._set_up_slow_at = self.now() + SET_UP_SLOW_S

    def _check_versions(self, expected: dict[str, str]) -> None:
        # Where it runs for a leader elsewhere: what is on the disk may have changed
        # since the two were compared.
        if (wrong := changed(expected)) is not None:
            raise ValueError(wrong)

    def _tell_started(self, error: str | None, *, may_pass: bool = False) -> None:
        pid = self.environment.process_id()
        started = Started(name=self._name, pid=pid, error=error, may_pass=may_pass)
        self.send(self._root, started)

    def _describe(self, message: StartProcessor) -> Process:
        return Process(
            name=message.name,
            run=message.run,
            pid=self.environment.process_id(),
            host=socket.gethostname(),
            kind=message.config.name,
            concurrency=message.config.concurrency,
        )

    def _load(self, config: ProcessorConfig, system: SystemConfig) -> None:
        process = self.environment.function(config.process)
        awaits = config.executor is None
        check_call(process, config.process, "job", awaits=awaits)
        demand_function = None
        if config.demand_function:
            demand_function = self.environment.function(config.demand_function)
            check_call(demand_function, config.demand_function, "ask")
        find: Callable[[Any], Routes] | None = None
        if config.name in system.steps:
            routing = routing_of(config, system, self.environment.function)
            self._output = StepOutput(
                config, system, self.consumer, self.log, routing, self.send
            )
            find = partial(routing.routes_of, describe=describe)
        self._runner = self._make_runner(process, find)
        self.watch(self._runner.fd, self._runner_spoke)
        if config.is_set_up:
            setup = _nothing
            if config.setup is not None:
                setup = self.environment.function(config.setup)
                check_call(setup, config.setup, awaits=is_async(process))
            self._runner.set_up(SetUp(setup))
        if demand_function is not None:
            self.watch(self._grants.start(demand_function), self._grants_spoke)

    def _make_runner(
        self, process: Callable[[Any], Any], find: Callable[[Any], Routes] | None
    ) -> Runner:
        name, places = f"process-{self._name}", self.config.concurrency
        if is_async(process):
            calling = Calling(forks.guarded_async(process), find, self.now)
            return LoopRunner(self.environment.loop(name), calling)
        if self.config.executor is not None:
            make = self.environment.executor(self.config.executor)
            if make is not None:
                check_call(make, self.config.executor)
                calling = Calling(process, find, self.now)
                return ExecutorRunner(self.environment.worker(name), calling, make)
        calling = Calling(forks.guarded(process), find, self.now)
        worker = self.environment.worker(name, places)
        worker.turn = self.turn
        return ThreadRunner(worker, calling, places)

    def erred(self) -> None:
        """End this process, where jobs have ended and their ends may be lost in it."""
        super().erred()
        if self._is_taking:
            self.environment.kill(self.environment.process_id())

    def exiting(self) -> None:
        """End what runs beside the mailbox."""
        if self._runner is not None:
            self._runner.close()

    def _subscribe(self, source: SourceUp, now: float) -> None:
        # Told twice, it is the same run of the source: a new subscription would
        # cost a second run of what has begun.
        known = self._sources.get(source.name)
        if (
            known is None
            or known.line != source.line
            or not self.is_same(known.address, source.address)
        ):
            self._sources[source.name] = source
            self._send(self.consumer.open(source.name, now, source.kind))

    def _tune(self, config: ProcessorConfig) -> None:
        self.is_auto = config.max_demand == AUTO and not config.is_manual
        window = self._auto_window.window if self.is_auto else config.window
        self._send(self.consumer.retune(window))

    def _grants_spoke(self) -> None:
        self._send(self._grants.spoke())

    def _flush(self, now: float) -> None:
        if self._batching is not None:
            self._batching.flush(now)

    def _ask_for(self, message: GrantDemand) -> None:
        sends, asked = self._grants.told(message)
        self._send(sends)
        self.send(self._root, asked)

    def _run_next(self) -> None:
        if self._is_leaving:
            self._leave_when_done(self.now())
            return
        if self._runner is None:
            return
        if self._batching is not None:
            self._run_batches(self._runner, self._batching)
            return
        holder = self._output.step if self._output else self.consumer
        # What is begun beyond the places waits in the runner, for the next free one.
        most = self.config.concurrency
        if self._runner.holds_more:
            most = self._auto_window.share
        most -= self.consumer.running_count
        if most > 0 and (tasks := holder.take(most)):
            self._began_at = self.now()
            self._runner.begin(tasks)
        self._look_later()

    def _run_batches(self, runner: Runner, batching: Batching) -> None:
        holder = self._output.step if self._output else self.consumer
        while count := self._due(batching):
            if not (tasks := holder.take(count)):
                return
            runner.begin_batch(tasks)

    def _look_later(self) -> None:
        # A step's jobs are asked for one by one: there nothing is to be given back.
        # Nor while it drains: looking in vain, it would look again at once.
        may_give = self.is_auto and self._output is None
        may_give = may_give and not self.consumer.draining
        if may_give and self._is_behind and self._look_at is None:
            self._look_at = max(self.now(), self._began_at + LATE_S)

    @property
    def _is_behind(self) -> bool:
        # Jobs that the runner has begun are held until it is heard, and cannot be
        # given back: to look for them again and again would keep it from being heard.
        return self.consumer.running is not None and self._not_begun > 0

    @property
    def _not_begun(self) -> int:
        waiting = 0 if self._runner is None else self._runner.waiting
        return waiting + self.consumer.queued

    def _look(self, now: float) -> None:
        self._look_at = None
        excess = self._auto_window.excess(self._not_begun, now - self._began_at)
        if excess and not self.consumer.draining:
            self._hand_back(excess, now)

    def _hand_back(self, count: int, now: float) -> None:
        if self._runner is not None:
            more = max(0, count - self.consumer.queued)
            self.consumer.untake(self._runner.take_back(more))
        keep = max(0, self.consumer.queued - count)
        self._send(self.consumer.hand_back(keep, now))

    def _due(self, batching: Batching) -> int:
        if not self.consumer.may_begin:
            return 0
        flush = self.consumer.draining or self.consumer.is_whole
        return batching.due(self.consumer.queued, self.now(), flush=flush)

    def _runner_spoke(self) -> None:
        if self.config.concurrency > 1 and self.consumer.running_count > 1:
            # Not looked at meanwhile, it wakes nobody for each of them.
            assert self._runner is not None  # noqa: S101 - it is what has spoken
            self.unwatch(self._runner.fd)
            self._take_at = self.now() + COMPANY_S
            return
        self._take_all()
        self._run_next()
        self._tell_if_drained()

    def _take_all(self) -> None:
        assert self._runner is not None  # noqa: S101 - it is what has spoken
        self.watch(self._runner.fd, self._runner_spoke)
        self._began_at, self._take_at = self.now(), None
        self._take_ended()

    def _take_ended(self) -> None:
        assert self._runner is not None  # noqa: S101 - it is what has spoken
        self._is_taking = True
        ended: list[Ended] = []
        broken: Broken | None = None
        for each in self._runner.take():
            if isinstance(each, IsSetUp):
                self._note_set_up(each)
            elif isinstance(each, Broken):
                broken = broken or each
            # One that was given up may still come to its end.
            elif self.consumer.runs(each.ticket):
                ended.append(each)
        # Where places are empty, the first are not to wait for what the last ones cost.
        most = len(ended) if self._batching or self._not_begun else TOGETHER
        for begin in range(0, len(ended), most or 1):
            self._finished(ended[begin : begin + most])
        self._is_taking = False
        if broken is not None:  # last, since this process may end by it
            self._note_broken(broken)

    def _note_broken(self, broken: Broken) -> None:
        # A process that ends so has what it held looked at one by one: a job that
        # breaks pools is found as one that kills its process is.
        if self._is_stuck:
            return
        self._is_leaving = self._is_stuck = True
        error, trace = broken.failure.error, broken.failure.trace
        self.log.error("executor.broken", error=error, trace=trace)
        if broken.by_a_job:
            self.environment.kill(self.environment.process_id())
        self._send(self.consumer.drain(self.now()))

    def _note_set_up(self, setup: IsSetUp) -> None:
        self._set_up_slow_at = None
        failure = setup.failure
        if failure is None:
            self._tell_started(None)
            return
        error = f"{self._made_by}, the setup of {self._name}, failed"
        self._tell_started(f"{error}: {failure.error}", may_pass=True)

    @property
    def _made_by(self) -> str:
        names = (self.config.executor, self.config.setup)
        return " or ".join(repr(each) for each in names if each)

    def _call_off(self, message: CallOff, now: float) -> None:
        running, sends = self.consumer.called_off(message, now)
        self._send(sends)
        if self._output is not None:
            self._turn(*self._output.called_off(message, now))
        # Jobs of one call end together: what one of them comes to is ignored then.
        if self._runner is None or self._batching is not None:
            return
        self._limit = self._limit or TimeLimit(None)
        for task in running:
            if self._runner.withdraw(task):
                failed = self._runner.calling.failed(task, CALLED_OFF)
                self._finished([failed])
            elif self._limit.call_off(task.ticket, now):
                self._runner.cancel(task.ticket)

    def _end_what_is_late(self, now: float) -> None:
        runner, limit = self._runner, self._limit
        if runner is None or limit is None or not self.consumer.running_count:
            return
        at = limit.next_at(runner.calling.runs, now)
        if at is None or now < at:
            return
        # What has ended in time is not late.
        self._take_ended()
        for tickets in limit.over(runner.calling.runs, now):
            if not runner.cancel(tickets[0]):
                self._give_up(tickets[0], limit.failure_of(tickets[0]), now)
        for ticket in limit.stubborn(now):
            culprit = runner.blocked_by()
            if culprit is None or culprit == ticket:
                self._is_stuck = self._is_stuck or culprit is not None
                self._give_up(ticket, limit.failure_of(ticket), now)
            else:
                limit.excuse(ticket, now)

    def _give_up(self, ticket: int, failure: Failure, now: float) -> None:
        # A thread cannot be ended: its process is, once the outcomes are delivered,
        # its own and those of the jobs beside it. What was not begun goes back first.
        if not self._is_leaving:
            self._is_leaving = True
            self._send(self.consumer.drain(now))
            self._hand_back(self._not_begun, now)
        assert self._runner is not None  # noqa: S101 - it has the job
        calling = self._runner.calling
        run = calling.runs.get(ticket)
        tickets = [each for each, its in [*calling.runs.items()] if its is run]
        tasks = self.consumer.tasks(tickets)
        self._finished([calling.failed(task, failure) for task in tasks])

    def _leave_when_done(self, now: float) -> None:
        # Once the root is told, the end of the process is its to bring about.
        if self._told_overdue or (self.consumer.running_count and not self._is_stuck):
            return
        if self._leave_at is None:
            self._leave_at = now + HAND_OVER_S
        if self.consumer.has_unconfirmed and now < self._leave_at:
            return
        self._told_overdue, self._leave_at = True, None
        overdue = Overdue(name=self._name, run=self.consumer.process.run)
        self.send(self._root, overdue)

    def _finished(self, ended: Sequence[Ended]) -> None:
        assert self._runner is not None  # noqa: S101 - it is where they ran
        tickets = [each.ticket for each in ended]
        outcomes = [each.outcome for each in ended]
        for ticket in tickets:
            self._runner.calling.runs.pop(ticket, None)
        if self._limit is not None:
            outcomes = [self._limit.judged(each) for each in ended]
        failed = sum(each.failure is not None for each in outcomes)
        self._failed += failed
        self._done += len(outcomes) - failed
        changed = [self._auto_window.measured(each.duration_s) for each in outcomes]
        if any(changed) and self.is_auto:
            self.consumer.window = self._auto_window.window
        now = self.now()
        if self._output is None:
            self._send(self.consumer.all_finished(outcomes, now, tickets))
            return
        for each, outcome in zip(ended, outcomes, strict=True):
            self._turn(*self._output.finished(outcome, now, each.routes, each.ticket))

    def _hear(self, message: Any, sender: Address, now: float) -> None:
        output = self._output
        match message:
            case Subscribed() | Jobs() | Confirm() | Ping():
                self._send(self.consumer.received(message, now))
            case CallOff():
                self._call_off(message, now)
            case Cancel() if self.consumer.issued(message.subscription):
                self._send(self.consumer.received(message, now))
            case Subscribe() | Demand() | Done() | Cancel() | Crossing() if output:
                self._turn(*output.received(message, sender, now, self.chance))
            case ProcessGone() if output:
                self._turn(*output.gone(message, now))
            case _:
                self.unexpected(message)

    def _turn(self, sends: list[Send], decision: Decision) -> None:
        self._send(sends)
        if self._output is not None:
            self._output.carry_out(decision, self.send, self._root, self.now())

    def _send(self, sends: Iterable[Send]) -> None:
        for name, message in sends:
            source = self._sources[name]
            sent = Up(source=name, message=message) if source.relayed else message
            self.send(source.address, sent)

    def _tell_if_drained(self) -> None:
        holder = self._output.step if self._output else self.consumer
        if self._is_leaving:
            return
        if holder.drained and not self._told_drained:
            self._told_drained = True
            self.send(self._root, Drained(name=self._name))

    def _progress(self) -> list[JobProgress]:
        if self._runner is None:
            return []
        runs = dict([*self._runner.calling.runs.items()])
        tasks = {each.ticket: each for each in self.consumer.tasks(runs)}
        return shown(runs, tasks, self.now())

    def _tell_status(self, request: StatusRequest, sender: Address) -> None:
        status: ProcessorAnswer = {
            "pid": self.environment.process_id(),
            "host": self.consumer.process.host,
            "state": "draining" if self.consumer.draining else "running",
            "in_flight": self.consumer.held,
            "demand": self.consumer.demand,
            "manual": self.consumer.manual_demand is not None,
            "done": self._done,
            "failed": self._failed,
            "progress": self._progress(),
        }
        answer = StatusAnswer(
            number=request.number,
            name=self._name,
            processor=status,
            events=self.environment.last_lines(),
        )
        self.send(sender, answer)

"""The processor: asks for jobs, runs them one at a time, reports the outcomes.

One that other processors take from passes its results on to them; its
``StepOutput`` has that side.
"""

from __future__ import annotations

import socket
from collections import deque
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from actors.actor_system.stage import Address, Stage
from actors.config.functions import routing_of
from actors.config.option import AUTO
from actors.demand.consumer import Consumer, Send
from actors.demand.job import Failure, Process
from actors.demand.job_routing import ANYWHERE
from actors.demand.messages import (
    Assignment,
    Cancel,
    Confirm,
    Crossing,
    Demand,
    Done,
    Jobs,
    Outcome,
    Ping,
    Subscribe,
    Subscribed,
    halves_of_jobs,
    shorter,
    undeliverable,
)
from actors.demand.producer import Decision
from actors.demand.windows import LATE_S, AutoWindow, Batching
from actors.host import forks, logs
from actors.host.frames import MAX_MESSAGE
from actors.processor.manual_demand import Asking, manual_demand_of
from actors.processor.process_call import BatchCall, JobCalls
from actors.processor.step_output import StepOutput
from actors.supervision.messages import (
    AskFor,
    AskSign,
    Drain,
    Drained,
    Flush,
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
from actors.user_code.functions import check_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actors.actor_system.worker import Worker
    from actors.config.model import ProcessorConfig, SystemConfig
    from actors.demand.job_routing import Routes
    from actors.status.model import ProcessorAnswer

#: How long the outcome of an overdue job may take to be confirmed, in seconds.
HAND_OVER_S = 2.0


class ProcessorActor(Stage):
    """Runs the user's function in a thread, so that its mailbox stays open."""

    consumer: Consumer
    config: ProcessorConfig
    _asking: Asking

    def __init__(self) -> None:
        super().__init__()
        self._root: Address | None = None
        self._name = ""
        self._sources: dict[str, SourceUp] = {}
        self._output: StepOutput | None = None
        self._worker: Worker | None = None
        self._process: Callable[[Any], Any] | None = None
        self._find_routes: Callable[[Any], Routes] | None = None
        self._batching: Batching | None = None
        self._auto_window = AutoWindow()
        self.is_auto = False
        self._done = 0
        self._failed = 0
        self._told_drained = False
        self._timeout_s: float | None = None
        self._overdue_at: float | None = None
        self._overdue = False
        self._waiting: deque[Assignment] = deque()
        self._began_at = 0.0
        self._look_at: float | None = None

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
            case AskFor():
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
            case Jobs() if self._output is not None:
                self._pass_on_less(message, size)
            case _:
                super().too_long(message, size)

    def _pass_on_less(self, message: Jobs, size: int) -> None:
        assert self._output is not None  # noqa: S101 - asked before
        if halves := halves_of_jobs(message):
            self._turn([], Decision(sends=list(halves)))
            return
        now = self.now()
        for job in message.jobs:
            failed = undeliverable(message.subscription, job, size, MAX_MESSAGE)
            self._turn(*self._output.failed(failed, now, self.chance))

    def tick(self, now: float) -> None:
        """Repeat what got no answer; give up a job that takes too long."""
        if self._root is None:
            return
        self._send(self.consumer.tick(now))
        if self._output is not None:
            self._turn(*self._output.tick(now))
        if self._overdue_at is not None and now >= self._overdue_at:
            self._give_up(now)
        if self._look_at is not None and now >= self._look_at:
            self._look(now)
        self._run_next()
        self._tell_if_drained()

    def next_tick(self) -> float | None:
        """When something is to be repeated or retried, is due, or is overdue."""
        if self._root is None:
            return None
        times = [self.consumer.next_tick(), self._overdue_at, self._look_at]
        if self._output is not None:
            times.append(self._output.next_tick())
        if self._batching is not None and self.consumer.may_begin:
            times.append(self._batching.due_at)
        return min((each for each in times if each is not None), default=None)

    def _start(self, message: StartProcessor, root: Address) -> None:
        self.config = config = message.config
        self._name = message.name
        self.log = self.edges.log(message.system.log_level, processor=message.name)
        if config.batch_size is not None:
            self._batching = Batching(config.batch_size, config.batch_timeout_s)
        process = self._describe(message)
        self.consumer = Consumer(
            process,
            manual_demand=manual_demand_of(config),
            windows=config.windows,
            batch_size=config.batch_size or 1,
        )
        self._asking = Asking(self.consumer, message.name, self.edges, self.log)
        self._tune(config)
        self._root = root
        self._timeout_s = message.system.job_timeout_s
        error = None
        try:
            self._load(config, message.system)
        except ValueError as problem:
            error = str(problem)
        self.send(
            root, Started(name=message.name, pid=self.edges.process_id(), error=error)
        )

    def _describe(self, message: StartProcessor) -> Process:
        return Process(
            name=message.name,
            run=message.run,
            pid=self.edges.process_id(),
            host=socket.gethostname(),
            kind=message.config.name,
        )

    def _load(self, config: ProcessorConfig, system: SystemConfig) -> None:
        self._process = self.edges.function(config.process)
        check_call(self._process, config.process, "job")
        asking = None
        if config.asking:
            asking = self.edges.function(config.asking)
            check_call(asking, config.asking, "ask")
        if config.name in system.steps:
            routing = routing_of(config, system, self.edges.function)
            self._output = StepOutput(
                config, system, self.consumer, self.log, routing, self.send
            )
            self._find_routes = partial(routing.routes_of, describe=describe)
        self._process = forks.guarded(self._process)
        self._worker = self.edges.worker(f"process-{self._name}")
        self.watch(self._worker.fd, self._worker_spoke)
        if asking is not None:
            self.watch(self._asking.start(asking), self._asker_spoke)

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

    def _asker_spoke(self) -> None:
        self._send(self._asking.spoke())

    def _flush(self, now: float) -> None:
        if self._batching is not None:
            self._batching.flush(now)

    def _ask_for(self, message: AskFor) -> None:
        sends, asked = self._asking.told(message)
        self._send(sends)
        self.send(self._root, asked)

    def _run_next(self) -> None:
        if self._overdue:
            if self._overdue_at is not None and not self.consumer.has_unconfirmed:
                self._tell_overdue()
            return
        if self._worker is None:
            return
        assert self._process is not None  # noqa: S101 - set with the worker
        holder = self._output.step if self._output else self.consumer
        if tasks := holder.take(self._count()):
            self._watch_the_clock()
            assignments = [each.assignment for each in tasks]
            if self._batching is not None:
                batch = BatchCall(self._process, assignments, self._find_routes)
                self._worker.call(batch.run, batch.failed)
                return
            self._began_at = self.now()
            self._waiting = deque(assignments)
            calls = JobCalls(self._process, self._waiting, self._find_routes)
            self._worker.call(calls.run, calls.failed)
        self._look_later()

    def _look_later(self) -> None:
        # A step's jobs are asked for one by one: there nothing is to be given back.
        # Nor while it drains: looking in vain, it would look again at once.
        may_give = self.is_auto and self._output is None
        may_give = may_give and not self.consumer.draining
        if may_give and self._is_behind and self._look_at is None:
            self._look_at = max(self.now(), self._began_at + LATE_S)

    @property
    def _is_behind(self) -> bool:
        # Jobs that the worker has begun are held until it is heard, and cannot be
        # given back: to look for them again and again would keep it from being heard.
        waits = bool(self._waiting) or self.consumer.queued > 0
        return self.consumer.running is not None and waits

    def _look(self, now: float) -> None:
        self._look_at = None
        waiting = len(self._waiting) + self.consumer.queued
        excess = self._auto_window.excess(waiting, now - self._began_at)
        if excess and not self.consumer.draining:
            self._hand_back(excess, now)

    def _hand_back(self, count: int, now: float) -> None:
        taken = 0
        while taken < count - self.consumer.queued and self._waiting:
            # The worker takes from the other end.
            try:
                self._waiting.pop()
            except IndexError:
                break
            taken += 1
        self.consumer.untake(taken)
        keep = max(0, self.consumer.queued - count)
        self._send(self.consumer.hand_back(keep, now))

    def _count(self) -> int:
        if self._batching is None:
            return self._auto_window.share
        if not self.consumer.may_begin:
            return 0
        flush = self.consumer.draining or self.consumer.is_whole
        return self._batching.due(self.consumer.queued, self.now(), flush=flush)

    def _worker_spoke(self) -> None:
        assert self._worker is not None  # noqa: S101 - it is what is watched
        self._began_at = self.now()
        ended = self._worker.take()
        if ended and not self._overdue:
            if self._output is None:
                self._finished(ended)
            else:
                self._finished(
                    [each.outcome for each in ended], [each.routes for each in ended]
                )
        self._run_next()
        self._tell_if_drained()

    def _give_up(self, now: float) -> None:
        # A thread cannot be ended: its process is, once the outcome is delivered.
        # What had arrived behind this job goes back first: it was not begun.
        if self._overdue:
            self._tell_overdue()
            return
        self._overdue, self._overdue_at = True, now + HAND_OVER_S
        failure = Failure(f"JobTimeoutError: took longer than {self._timeout_s:g} s")
        duration_s = self._timeout_s or 0.0
        self._send(self.consumer.drain(now))
        self._hand_back(len(self._waiting) + self.consumer.queued, now)
        while task := self.consumer.running:
            job = task.assignment
            self._finished([Outcome(job.key, job.attempt, None, failure, duration_s)])
            if self._batching is None:
                return

    def _watch_the_clock(self) -> None:
        timed = self._timeout_s is not None and self.consumer.running is not None
        self._overdue_at = self.now() + (self._timeout_s or 0.0) if timed else None

    def _tell_overdue(self) -> None:
        self._overdue_at = None
        overdue = Overdue(name=self._name, run=self.consumer.process.run)
        self.send(self._root, overdue)

    def _finished(
        self, outcomes: Sequence[Outcome], routes: Iterable[Routes] = ()
    ) -> None:
        failed = sum(each.failure is not None for each in outcomes)
        self._failed += failed
        self._done += len(outcomes) - failed
        changed = [self._auto_window.measured(each.duration_s) for each in outcomes]
        if any(changed) and self.is_auto:
            self.consumer.window = self._auto_window.window
        if self._output is None:
            self._send(self.consumer.all_finished(outcomes, self.now()))
        else:
            each_routes = chain(routes, repeat(ANYWHERE))
            for outcome, its in zip(outcomes, each_routes, strict=False):
                self._turn(*self._output.finished(outcome, self.now(), its))
        if not self._overdue:
            self._watch_the_clock()

    def _hear(self, message: Any, sender: Address, now: float) -> None:
        output = self._output
        match message:
            case Subscribed() | Jobs() | Confirm() | Ping():
                self._send(self.consumer.received(message, now))
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
        if self._overdue:
            return
        if holder.drained and not self._told_drained:
            self._told_drained = True
            self.send(self._root, Drained(name=self._name))

    def _tell_status(self, request: StatusRequest, sender: Address) -> None:
        status: ProcessorAnswer = {
            "pid": self.edges.process_id(),
            "host": self.consumer.process.host,
            "state": "draining" if self.consumer.draining else "running",
            "in_flight": self.consumer.held,
            "demand": self.consumer.demand,
            "manual": self.consumer.manual_demand is not None,
            "done": self._done,
            "failed": self._failed,
        }
        answer = StatusAnswer(
            number=request.number,
            name=self._name,
            processor=status,
            events=logs.recent(),
        )
        self.send(sender, answer)

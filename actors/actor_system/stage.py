"""The base of every stage.

A stage is written against this class, not against Thespian. It handles one
message at a time in ``receive``, does what time brings in ``tick``, and says in
``next_tick`` when that is. What blocks is given to a worker thread, whose word
arrives through a watched descriptor.
"""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    DeadEnvelope,
    PoisonMessage,
    ThespianWatch,
    WakeupMessage,
    WatchMessage,
)

from actors.actor_system.environment import Environment
from actors.host import crash_signals, forks, linux

if TYPE_CHECKING:
    from collections.abc import Callable

Address: TypeAlias = ActorAddress


#: The exit codes of processes that crashed, as Python has them.
CRASHES = frozenset(-number for number in crash_signals.LEFT_ALONE)

#: A timer that fires this much too early counts as on time, in seconds.
_EARLY_S = 0.0005
#: After an error a stage looks again at what is due, this many seconds later.
_AFTER_ERROR_S = 1.0
#: What the kernel means where it makes no process (fork(2)).
NOT_MADE = "no process more is allowed to this user, or there is no memory for one"


class Stage(Actor):  # type: ignore[misc]
    """An actor whose handlers cannot take it down, with one timer.

    Thespian runs a handler that raises a second time with the same message; here
    nothing is raised to it: an error is a bug, is logged, and the stage goes on.
    """

    #: The world around; whoever makes the stage may put another in its place.
    environment = Environment()

    def __init__(self) -> None:
        super().__init__()
        self.environment.begin_process()
        self.log = self.environment.log("info")
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[float] = []
        self._not_made: list[Address] = []
        self._children: list[Address] = []

    # What a stage fills in.

    def receive(self, message: Any, sender: Address) -> None:
        """Handle one message."""
        raise NotImplementedError

    def child_exited(self, child: Address) -> None:
        """Handle the end of an actor that this one created; may come twice."""

    def not_made(self, child: Address) -> None:
        """Handle that a process which was to be created could not be."""
        self.log.error("process.not_made", error=NOT_MADE)
        self.child_exited(child)

    def name_of(self, child: Address) -> str | None:  # noqa: ARG002 - see the stages
        """The name of an actor that this one created, for the log."""
        return None

    def too_long(self, message: Any, size: int) -> None:
        """Do without a message that is longer than any that can be sent."""
        self.log.error("message.too_long", message=type(message).__name__, size=size)

    def exiting(self) -> None:
        """Release what is held; nothing can be sent any more."""

    def tick(self, now: float) -> None:
        """Do what is due at ``now``, in monotonic seconds."""

    def next_tick(self) -> float | None:
        """When ``tick`` is due next, in monotonic seconds; None for never."""
        return None

    # What a stage uses.

    def now(self) -> float:
        """Monotonic seconds."""
        return self.environment.now()

    def chance(self) -> float:
        """Uniform in 0 to 1."""
        return self.environment.chance()

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` from the mailbox whenever ``fd`` can be read."""
        self._watched[fd] = ready

    def unwatch(self, fd: int) -> None:
        """Watch a descriptor no longer; to be called before it is closed."""
        self._watched.pop(fd, None)

    @property
    def turn(self) -> Callable[[int], bool] | None:
        """What calls a watched descriptor's ``ready`` in the thread that calls it.

        It returns False while the mailbox is busy, or waits for another such thread.
        None where there is no such thing.
        """
        transport = getattr(self._myRef, "transport", None)
        turn: Callable[[int], bool] | None = getattr(transport, "take_turn", None)
        return turn

    def unexpected(self, message: Any) -> None:
        """Say that a message is not for this stage, and leave it at that."""
        self.log.warning("message.unexpected", message=type(message).__name__)

    def create(self, stage: type[Stage]) -> Address:
        """Start another stage in a process of its own, as a child of this one."""
        before = len(self._processes())
        crash = self.environment.before_child()
        with forks.of_ours():
            address = self.createActor(stage)
        if len(self._processes()) > before:
            self._watch_child(address, crash)
        elif self._has_processes():
            # Thespian swallows the error, and nobody would ever hear of it again.
            crash_signals.take_crash(crash)
            self._not_made.append(address)
        return address

    def end(self, stage: Address) -> None:
        """Ask a stage to exit once it has handled what it was sent before."""
        self.send(stage, ActorExitRequest())

    def is_same(self, one: Address, other: Address) -> bool:
        """Whether two addresses are those of one actor; they cannot be hashed."""
        return bool(one == other)

    # Thespian's side.

    def receiveMessage(self, message: Any, sender: Address) -> Any:
        """Handle a message from Thespian; never raises."""
        try:
            self._handle(message, sender)
            while too_long := self._myRef.take_too_long():
                for each, size in too_long:
                    self.too_long(each, size)
            while self._not_made:
                self.not_made(self._not_made.pop())
            self._arm(self.next_tick())
        except self.environment.errors:
            self.log.error(  # noqa: TRY400 - the trace is cut to what is ours
                "stage.error",
                message=type(message).__name__,
                trace=traceback.format_exc(limit=-8),
            )
            self.erred()
        return ThespianWatch(list(self._watched))

    def erred(self) -> None:
        """Go on after an error of our own, which is in the log."""
        # What is due stays due; not at once, or an error would repeat without end.
        self._arm(self.now() + _AFTER_ERROR_S)

    def _handle(self, message: Any, sender: Address) -> None:
        match message:
            case WakeupMessage(payload=at):
                self._timers.remove(at)
                self.tick(self.now() + _EARLY_S)
            case WatchMessage():
                for fd in message.ready:
                    if fd in self._watched:
                        self._watched[fd]()
            case ChildActorExited():
                self._said_goodbye(message.childAddress)
            case ActorExitRequest():
                self.exiting()
            case DeadEnvelope() | PoisonMessage():
                self.log.debug("message.undelivered", message=repr(message))
            case _:
                self.receive(message, sender)

    def _watch_child(self, address: Address, crash_fd: int) -> None:
        # Thespian cannot tell of a child that dies before it has reported its
        # address: its notice does not pickle, and is dropped. The kernel can.
        process = self._processes()[-1].childProc
        fd = linux.descriptor(process.pid)
        self._children.append(address)

        def ended() -> None:
            self.unwatch(fd)
            linux.close(fd)
            self._children = [each for each in self._children if each is not address]
            trace = crash_signals.take_crash(crash_fd)
            if trace or process.exitcode in CRASHES:
                self.log.error(
                    "stage.crashed",
                    stage=self.name_of(address),
                    pid=process.pid,
                    signal=crash_signals.name_of(process.exitcode),
                    trace=trace,
                )
            self.environment.after_child()
            self.child_exited(address)

        self.watch(fd, ended)

    def _said_goodbye(self, child: Address) -> None:
        # Thespian tells of an end when a process begins to end: it may have much to
        # do yet. Of one that is watched, the kernel tells when it is gone.
        if not any(self.is_same(each, child) for each in self._children):
            self.child_exited(child)

    def _has_processes(self) -> bool:
        return hasattr(self._myRef, "mpcontext")

    def _processes(self) -> list[Any]:
        return getattr(self._myRef, "_child_procs", None) or []

    def _arm(self, at: float | None) -> None:
        # Timers cannot be taken back, and each that fires arms again: one is set
        # only if it is earlier than all that are under way, or they would multiply.
        if at is None or (self._timers and min(self._timers) <= at):
            return
        self._timers.append(at)
        delay = max(0.0, at - self.now())
        # Rounded to microseconds it could fire before what it is for is due.
        self.wakeupAfter(timedelta(seconds=delay, microseconds=1), at)

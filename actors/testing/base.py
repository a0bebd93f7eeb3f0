"""An actor base in one thread, on virtual time.

Thespian's actors reach their system through one reference that the system gives
them. Here it is a ``Node``: a process that is none, with its own pid, mailbox,
timers and watched descriptors. So the stages run as they are, Thespian's
``Actor`` included; what is decided here is who handles what, and when.

Thespian has an in-process base of its own. It is not used: it passes messages by
reference, has no watched descriptors, tells nobody of an actor's end, tries a
handler three times instead of twice, and has no place where a message could be
lost, repeated or delayed.
"""

from __future__ import annotations

import pickle
import random
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from thespian.actors import (
    ActorAddress,
    ActorExitRequest,
    ChildActorExited,
    WakeupMessage,
    WatchMessage,
)

from actors.demand.messages import (
    CallOff,
    Cancel,
    Confirm,
    Demand,
    Done,
    Jobs,
    Ping,
    Subscribe,
    Subscribed,
)
from actors.host import unpickling
from actors.host.frames import MAX_MESSAGE
from actors.supervision.message_types import ADMITTED
from actors.testing.instructions import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from actors.actor_system.environment import Environment
    from actors.actor_system.stage import Stage
    from actors.demand.job_events import JobEvent
    from actors.testing.agenda import Agenda
    from actors.testing.instructions import Instructions

#: How long a message takes between two processes of one machine, in seconds.
LATENCY_S = 0.0003

#: What the demand protocol can lose: it says everything again that got no answer.
LOSABLE = (CallOff, Cancel, Confirm, Demand, Done, Jobs, Ping, Subscribe, Subscribed)

#: Delays of the copies of a message, and whether each keeps its turn on the wire.
Route: TypeAlias = tuple[tuple[float, bool], ...]

#: Where a process can be made to die.
POINTS = (
    "handler.began",
    "handler.ended",
    "message.sent",
    "call.began",
    "call.ended",
    "commit.began",
    "commit.ended",
    "sync.began",
)

#: A parent hears of its child's end after so long, in seconds.
NEWS_S = 0.003
FIRST_PID = 101

# What would be refused between real processes is refused here.
unpickling.admit((ActorAddress, ActorExitRequest, *ADMITTED))


class Letter(NamedTuple):
    """A message on its way, as bytes, since it crosses to another process."""

    sender: Node
    receiver: Node | None
    content: bytes


class Node:
    """One process: a stage, and what the world is to it."""

    def __init__(self, base: Base, parent: Node | None, pid: int) -> None:
        self.base = base
        self.parent = parent
        self.pid = pid
        self.address = ActorAddress(pid)
        self.name = f"pid-{pid}"
        self.alive = True
        self.hung = False
        self.timers: list[Any] = []
        self.stage: Any = None
        self.ready: set[int] = set()
        self._watched: frozenset[int] = frozenset()
        self.too_long: list[tuple[Any, int]] = []
        self.endings: list[Callable[[], None]] = []
        self._told = False
        self._held: deque[Callable[[], None]] = deque()
        self._outgoing: list[tuple[ActorAddress, Any, bytes]] = []

    # Thespian's side: what an actor asks of its system.

    def actor_send(self, target: ActorAddress, message: Any) -> None:
        """Send once the handler has ended, as between real processes."""
        content = pickle.dumps(message)
        if len(content) > MAX_MESSAGE:
            self.too_long.append((message, len(content)))
        else:
            self._outgoing.append((target, message, content))

    def createActor(self, stage: type[Stage], *_: Any) -> ActorAddress:  # noqa: N802
        """Start a child."""
        return self.base.start(stage, self).address

    def wakeupAfter(self, delay: timedelta, payload: Any) -> None:  # noqa: N802
        """Set a timer; it cannot be taken back."""
        self.timers.append(payload)

        def fire() -> None:
            self.timers.remove(payload)
            self.handle(WakeupMessage(delay, payload), self.address)

        self.later(delay.total_seconds(), fire)

    def take_too_long(self) -> list[tuple[Any, int]]:
        """What it could not send."""
        taken, self.too_long = self.too_long, []
        return taken

    # What the world does to it.

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something in this process after a while, if it is there then."""
        self.base.agenda.after(delay_s, lambda: self.do(act))

    def do(self, act: Callable[[], None]) -> None:
        """Do something in this process: never if it is dead, later if it hangs."""
        if self.hung and self.alive:
            self._held.append(act)
        elif self.alive:
            steps = self.base.instructions
            try:
                if steps is not None and steps.name == self.name:
                    steps.run(act)
                else:
                    act()
            except Killed:
                self.base.kill(self)

    def resume(self) -> None:
        """Go on after a hang, with all that has come in the meantime."""
        self.hung = False
        while self._held and self.alive and not self.hung:
            self.do(self._held.popleft())

    def signal(self, fd: int) -> None:
        """A descriptor of this process can be read."""
        self.ready.add(fd)
        self._tell_ready()

    def handle(self, handled: Any, sender: ActorAddress) -> None:
        """Let the stage handle a message, then send what it had to send."""
        base = self.base
        base.observer.before(self, handled)
        base.faults.reach("handler.began", self)
        watch = self.stage.receiveMessage(handled, sender)
        self._watched = frozenset(watch.filenos)
        base.observer.after(self, handled)
        base.faults.reach("handler.ended", self)
        outgoing, self._outgoing = self._outgoing, []
        for target, message, content in outgoing:
            base.post(Letter(self, base.at(target), content), message)
            base.faults.reach("message.sent", self)
        if isinstance(handled, ActorExitRequest):
            base.leave(self)
        self._tell_ready()

    def _tell_ready(self) -> None:
        if self._told or not self.ready & self._watched:
            return
        self._told = True

        def tell() -> None:
            self._told = False
            if ready := sorted(self.ready & self._watched):
                self.handle(WatchMessage(ready), self.address)

        self.later(0.0, tell)


class Calm:
    """Nothing goes wrong but what is asked for."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)  # noqa: S311 - it is to be repeatable
        self.call_s: dict[str, float] = {}
        self._lost: list[type] = []

    def chance(self) -> float:
        """Uniform in 0 to 1."""
        return self.random.random()

    def lose(self, kind: type, count: int) -> None:
        """Lose the next ``count`` messages of a kind."""
        self._lost += [kind] * count

    def route(self, sender: Node, receiver: Node, message: Any) -> Route:  # noqa: ARG002
        """Say when a message arrives; nothing for never, several for a repetition."""
        if type(message) in self._lost:
            self._lost.remove(type(message))
            return ()
        return ((LATENCY_S, True),)

    def reach(self, point: str, node: Node) -> None:
        """A process has come to one of the ``POINTS``.

        Raises:
            Killed: It goes no further.
        """

    def commit_error(self, node: Node) -> str | None:  # noqa: ARG002
        """Why this process cannot write to the disk, if it cannot."""
        return None

    def duration_s(self, worker: str) -> float:
        """How long a worker's next call takes; its kind stands before the dash."""
        return self.call_s.get(worker.partition("-")[0], 0.0)


class Observer:
    """Sees every message and handler, and changes nothing; this one looks away."""

    def before(self, node: Node, message: Any) -> None:
        """A stage is about to handle a message."""

    def after(self, node: Node, message: Any) -> None:
        """A stage has handled a message; nothing of it has been sent yet."""

    def sent(self, sender: Node, receiver: Node | None, message: Any) -> None:
        """A message was put on the wire; None where nobody is at its end."""

    def committed(self, node: Node, events: Iterable[JobEvent]) -> None:
        """A fetcher's events are in its journal."""

    def killed(self, node: Node) -> None:
        """A process is no more."""

    def stopped(self) -> None:
        """The root reported that the drain is over."""

    def told(self, node: Node, level: str, event: str, fields: dict[str, Any]) -> None:
        """A process wrote a line to its log."""


class Base:
    """All processes of one system, and the wires between them."""

    def __init__(
        self,
        agenda: Agenda,
        faults: Calm,
        observer: Observer,
        environment: Callable[[Node], Environment],
    ) -> None:
        self.agenda = agenda
        self.faults = faults
        self.observer = observer
        self.nodes: dict[int, Node] = {}
        self.in_flight = 0
        self.instructions: Instructions | None = None
        self.on_death: Callable[[], None] = lambda: None
        self._environment = environment
        self._pid = FIRST_PID
        self._fd = 2
        self._arrivals: dict[tuple[int, int], float] = {}

    def new_fd(self) -> int:
        """A descriptor that nobody has."""
        self._fd += 1
        return self._fd

    def named(self, name: str) -> Node | None:
        """The living process of this name."""
        living = (each for each in self.nodes.values() if each.name == name)
        return next(living, None)

    def start(self, stage: type[Stage], parent: Node | None = None) -> Node:
        """Start a process for a stage."""
        node = Node(self, parent, self._pid)
        self._pid += 1
        self.nodes[node.pid] = node
        made = stage.__new__(stage)
        # Before it is initialised, since it logs from the first moment on.
        made.environment = self._environment(node)
        made._myRef = node  # noqa: SLF001 - the name that Thespian gives it
        made.__init__()  # type: ignore[misc]
        node.stage = made
        return node

    def tell(self, node: Node, message: Any) -> None:
        """Send a stage a message from outside."""
        node.later(0.0, lambda: node.handle(message, ActorAddress(0)))

    def at(self, address: ActorAddress) -> Node | None:
        """Who lives at an address."""
        return self.nodes.get(address.addressDetails)

    def post(self, letter: Letter, message: Any) -> None:
        """Put a message on the wire; the faults say what becomes of it."""
        sender, receiver, _ = letter
        self.observer.sent(sender, receiver, message)
        if receiver is None:
            return
        for delay_s, in_order in self.faults.route(sender, receiver, message):
            self._carry(letter, delay_s, in_order=in_order)

    def kill(self, node: Node) -> None:
        """End a process at once, and those it started."""
        if not node.alive:
            return
        node.alive = False
        del self.nodes[node.pid]
        if self.instructions is not None and self.instructions.struck:
            self.instructions = None
        self.on_death()
        self.observer.killed(node)
        for end in tuple(node.endings):
            end()
        for child in [each for each in self.nodes.values() if each.parent is node]:
            self.kill(child)
        self._tell_parent(node)

    def leave(self, node: Node) -> None:
        """A process ends of itself; Thespian tells its parent of that twice."""
        self._tell_parent(node)
        self.kill(node)

    def kill_all(self) -> None:
        """End every process."""
        for node in tuple(self.nodes.values()):
            self.kill(node)

    def _carry(self, letter: Letter, delay_s: float, *, in_order: bool) -> None:
        assert letter.receiver is not None  # noqa: S101 - else it is not carried
        wire = letter.sender.pid, letter.receiver.pid
        at = self.agenda.now + delay_s
        if in_order:
            at = self._arrivals[wire] = max(at, self._arrivals.get(wire, 0.0))
        self.in_flight += 1
        self.agenda.at(at, lambda: self._arrive(letter))

    def _arrive(self, letter: Letter) -> None:
        self.in_flight -= 1
        message = unpickling.loads(letter.content)
        node = letter.receiver
        assert node is not None  # noqa: S101 - else it is not carried
        node.do(lambda: node.handle(message, letter.sender.address))

    def _tell_parent(self, node: Node) -> None:
        if (parent := node.parent) is not None:
            news = ChildActorExited(node.address)
            parent.later(NEWS_S, lambda: parent.handle(news, node.address))

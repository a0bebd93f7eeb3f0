"""What machines say to one another, and what passes it on in each of them.

What goes over the line holds no address: a machine knows nothing of the other's
processes but their names. ``codec.py`` names what another machine may send: anything
else ends its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.config.model import SystemConfig
    from actors.demand.job import Process
    from actors.demand.messages import ToConsumer
    from actors.supervision.messages import StatusAnswer

#: The name of the gate among the children of the leader's root.
GATE = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """A producer's message for whoever opened its subscription."""

    message: ToConsumer


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Either way: here I am."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A machine to the leader, the first message on a line.

    Attributes:
        name: For people; unique among the machines.
        run: Unique for each start of what joins.
        version: Of lowtide there.
        limit_s: How long a silence it bears; both sides bear the longer one.
    """

    name: str
    run: str
    host: str
    version: str
    limit_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The leader to a machine: it is in.

    Attributes:
        line: Unique for this line, but the same where nothing has happened since
            the one before.
        system: The configuration, without what concerns the leader alone.
        versions: Of the code behind the functions that processors need.
        limit_s: How long a silence both sides bear from now on.
        trace: What the ids of spans are made of; empty where nothing is traced.
    """

    line: str
    system: SystemConfig
    versions: dict[str, str]
    limit_s: float = 0.0
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The leader to a machine: it may not join; not now, or never."""

    reason: str
    for_now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A machine to the leader: it goes, and does not come back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceIs:
    """The leader to a machine: a source is there, or has ended.

    Attributes:
        run: Unique for each start of the source.
        fate: What follows from its end: one of ``Fate``'s values.
    """

    kind: str
    name: str
    up: bool
    run: str = ""
    fate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIs:
    """A machine to the leader: a processor is ready there, or is no more.

    Attributes:
        fate: What follows from its end: one of ``Fate``'s values.
    """

    process: Process
    up: bool
    reason: str = ""
    crash: bool = False
    fate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The leader to a machine, about one of its processors.

    Attributes:
        verb: ``kill``, ``detach``, or ``tell`` to pass ``message`` on.
    """

    verb: str
    process: Process
    message: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retune:
    """The leader to a machine: a kind of processor is configured so from now on."""

    system: SystemConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStatus:
    """The leader to a machine."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TellStatus:
    """A machine to the leader: what its processors say of themselves."""

    number: int
    answers: tuple[StatusAnswer, ...] = ()


# Within the leader, between its root and its gate.


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGate:
    """Root to a new gate."""

    system: SystemConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ToMachine:
    """Root to gate: pass this on; hang up afterwards if it is ``last``."""

    run: str
    message: Any
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FromMachine:
    """Gate to root: a machine says this."""

    run: str
    message: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEnded:
    """Gate to root: the line to a machine is over, it was silent for too long."""

    run: str
    silent: bool
    reason: str


# Within a machine that joined, from its main process to its root.


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMachine:
    """Main to the root of a machine that joins.

    Attributes:
        host: Address of the leader's gate.
        others: Hosts and ports where a leader may be as well.
        count: How many processors.
        kind: Which; None for the only one there is.
        allow: Functions that may be run; empty for those that are here for it.
    """

    host: str
    port: int
    name: str
    kind: str | None
    count: int
    allow: tuple[str, ...]
    system: SystemConfig
    incarnation: str
    report_fd: int
    control_socket: str
    orders_fd: int
    others: tuple[tuple[str, int], ...] = ()

"""What the root and its stages say to one another, beside the demand protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.actor_system.stage import Address
    from actors.config.model import FetcherConfig, ProcessorConfig, SystemConfig
    from actors.demand.job import Accounting, Process
    from actors.demand.messages import ToProducer
    from actors.host.logs import Event
    from actors.status.model import FetcherAnswer, ProcessorAnswer


# The messages that begin an actor have no representation: Thespian describes what waits
# for its process to be there, for a log that is off, and the whole configuration is in
# these.


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StartSystem:
    """Main to root: what to run, and where to answer.

    Attributes:
        config: Checked already.
        incarnation: Unique for this run of the system.
        report_fd: Descriptor of the pipe on which the main process listens.
        control_socket: Path of the socket for other terminals.
        orders_fd: Descriptor of the socket over which the main process gives orders.
        paused: Fetchers that a person paused under the root before, and whether
            their jobs are held back as well.
        draining: Whether the root before was told to stop.
        held: Whether nothing is to be fetched until the main process says so.
        again: Whether there was another root before, in this run of the system.
        detached: Fetchers that a person detached under the root before.
    """

    config: SystemConfig
    incarnation: str
    report_fd: int
    control_socket: str
    orders_fd: int
    paused: dict[str, bool] = field(default_factory=dict)
    draining: bool = False
    held: bool = False
    again: bool = False
    detached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StartFetcher:
    """Root to a new fetcher.

    Attributes:
        again: Whether this fetcher was there before, in this run of the system.
        waits: What it said last of its source's wish to be left alone.
    """

    config: FetcherConfig
    system: SystemConfig
    again: bool = False
    waits: SourceWaits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWaits:
    """A fetcher to its root: its source asks to be left alone.

    Attributes:
        until: Monotonic seconds of this machine.
        reason: What the source said.
    """

    name: str
    until: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StartProcessor:
    """Root to a new processor.

    Attributes:
        versions: Of the code of the functions that it loads, as it was compared
            with the leader's; none where that is nobody's business.
    """

    config: ProcessorConfig
    system: SystemConfig
    name: str
    run: str
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A stage to its root: it is ready.

    Attributes:
        error: Why it is not, and will not be.
        waits_for: What it waits for to be; it says so once more when it is.
        may_pass: Whether another start may do, where it cannot now.
    """

    name: str
    pid: int
    error: str | None = None
    waits_for: str | None = None
    may_pass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSign:
    """Root to a stage: are you there?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A stage to its root: it is; a fetcher says what it has as well."""

    name: str
    accounting: Accounting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Root to a fetcher: the whole system is ready, poll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUp:
    """Root to a processor: this source is there now, subscribe to it.

    Attributes:
        kind: What stands for it in ``from``.
        relayed: Whether it is on another machine, and ``address`` passes on what
            it is sent as an ``Up``.
        line: Of the line to that machine: another one is another run of the
            source, as far as its subscriptions are concerned.
    """

    kind: str
    name: str
    address: Address
    relayed: bool = False
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A consumer's message for a source on another machine, by its name."""

    source: str
    message: ToProducer


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceGone:
    """Root to a processor: this source is not coming back."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessGone:
    """Root to whatever processors take from: this processor is no more.

    Attributes:
        crash: Whether what it held may have taken it down.
        others: That went with it, as all on one machine do: what one of them held
            is not to be given to another.
    """

    process: Process
    reason: str
    crash: bool = True
    others: tuple[Process, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLost:
    """A fetcher to its root: no sign of this processor while it holds jobs."""

    process: Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A processor to its root: a job will not end, put another in my place."""

    name: str
    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Root to a stage: begin nothing new, finish, and say when it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """A stage to its root: nothing is left to do.

    Attributes:
        accounting: Where a fetcher's jobs are.
    """

    name: str
    accounting: Accounting | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """Root to a processor: what is here may be all; let no batch wait to fill.

    It holds for a while, and is repeated for as long as it is to.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideJobs:
    """Root to a fetcher: what a person has decided about jobs.

    ``retry`` or ``discard`` is for quarantined ones, ``cancel`` for all others.
    """

    number: int
    action: str
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsDecided:
    """A fetcher to its root: that many jobs were still quarantined.

    Attributes:
        error: Why the journal does not have the decision, if it has not.
    """

    number: int
    name: str
    count: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideState:
    """Root to a fetcher: tell the state of its source, or set another.

    Attributes:
        text: What to set, JSON; None to tell what there is.
    """

    number: int
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDecided:
    """A fetcher to its root: the state of its source is this.

    Attributes:
        text: JSON.
        age_s: Since it last changed; None if it never did.
        error: Why it was not done, if it was not.
    """

    number: int
    name: str
    text: str
    age_s: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Root to a fetcher: poll no more; with ``hold``, send no jobs either."""

    hold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Root to a fetcher: go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """Root to a stage: this is its configuration from now on."""

    config: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDemand:
    """Root to a processor with manual demand: ask for this many jobs.

    Attributes:
        total: All that the root has told this run of it, this one included.
        source: Of which source; None for each that it takes from.
    """

    number: int
    total: int
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandGranted:
    """A processor to its root: the request is heard. ``error`` refuses it."""

    number: int
    name: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBarrier:
    """Root to a fetcher: say when all has ended that is here now. May be repeated."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierPassed:
    """A fetcher to its root: all has ended that was there before the barrier."""

    number: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """Root to a stage."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """A stage to its root, with the request's number.

    Attributes:
        events: The last lines of its log.
        accounting: Where a fetcher's jobs are.
    """

    number: int
    name: str
    fetcher: FetcherAnswer | None = None
    processor: ProcessorAnswer | None = None
    events: Sequence[Event] = ()
    accounting: Accounting | None = None

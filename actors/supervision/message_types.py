"""What may cross from one process to another: every class that messages hold.

A message of another class, or one that holds another, is refused where it
arrives. Jobs and results are plain JSON values, so no class of a user's travels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.cluster import messages as cluster_messages
from actors.config.model import (
    FetcherConfig,
    ProcessorConfig,
    SubscriptionOptions,
    SystemConfig,
)
from actors.demand import messages as protocol
from actors.demand.job import Accounting, Failure, Process
from actors.supervision import messages

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES: tuple[type, ...] = (
    # The demand protocol.
    Process,
    protocol.Assignment,
    Failure,
    protocol.Outcome,
    protocol.Subscribe,
    protocol.Subscribed,
    protocol.Demand,
    protocol.Jobs,
    protocol.Done,
    protocol.CallOff,
    protocol.Confirm,
    protocol.Ping,
    protocol.Cancel,
    protocol.Crossing,
    # Between the root and its stages.
    messages.StartSystem,
    messages.StartFetcher,
    messages.SourceWaits,
    messages.StartProcessor,
    messages.Started,
    messages.AskSign,
    messages.Sign,
    messages.Begin,
    messages.SourceUp,
    messages.Up,
    messages.SourceGone,
    messages.ProcessGone,
    messages.ProcessLost,
    messages.Overdue,
    messages.Drain,
    messages.Drained,
    messages.Flush,
    messages.DecideJobs,
    messages.JobsDecided,
    messages.DecideState,
    messages.StateDecided,
    messages.Pause,
    messages.Resume,
    messages.Tune,
    messages.GrantDemand,
    messages.DemandGranted,
    messages.SetBarrier,
    messages.BarrierPassed,
    messages.StatusRequest,
    messages.StatusAnswer,
    # Between machines.
    cluster_messages.Down,
    cluster_messages.Beat,
    cluster_messages.Join,
    cluster_messages.Welcome,
    cluster_messages.Refuse,
    cluster_messages.Leave,
    cluster_messages.SourceIs,
    cluster_messages.ProcessIs,
    cluster_messages.Order,
    cluster_messages.Retune,
    cluster_messages.AskStatus,
    cluster_messages.TellStatus,
    cluster_messages.StartGate,
    cluster_messages.ToMachine,
    cluster_messages.FromMachine,
    cluster_messages.LineEnded,
    cluster_messages.StartMachine,
    # What these hold.
    Accounting,
    FetcherConfig,
    ProcessorConfig,
    SubscriptionOptions,
    SystemConfig,
)

#: Functions that put a message together from what its pickle holds.
MAKERS: tuple[Callable[..., Any], ...] = (
    protocol.jobs_of_columns,
    protocol.done_of_columns,
)

ADMITTED: tuple[Callable[..., Any], ...] = (*CLASSES, *MAKERS)

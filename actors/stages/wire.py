"""What may cross from one process to another: every class that messages hold.

A message of another class, or one that holds another, is refused where it
arrives. Jobs and results are plain JSON values, so no class of a user's travels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.flow import messages as protocol
from actors.flow.facts import Accounting
from actors.flow.subscriptions import SubscriptionOptions
from actors.runtime.config import FetcherConfig, ProcessorConfig, SystemConfig
from actors.stages import machine_messages, messages

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES: tuple[type, ...] = (
    # The demand protocol.
    protocol.Process,
    protocol.Assignment,
    protocol.Failure,
    protocol.Outcome,
    protocol.Subscribe,
    protocol.Subscribed,
    protocol.Demand,
    protocol.Jobs,
    protocol.Done,
    protocol.Confirm,
    protocol.Ping,
    protocol.Cancel,
    # Between the root and its stages.
    messages.StartSystem,
    messages.StartFetcher,
    messages.StartProcessor,
    messages.Started,
    messages.AskSign,
    messages.Sign,
    messages.Begin,
    messages.SourceUp,
    messages.SourceGone,
    messages.ProcessGone,
    messages.ProcessLost,
    messages.Overdue,
    messages.Drain,
    messages.Drained,
    messages.DecideJobs,
    messages.JobsDecided,
    messages.DecideState,
    messages.StateDecided,
    messages.Pause,
    messages.Resume,
    messages.Tune,
    messages.AskFor,
    messages.Asked,
    messages.SetMark,
    messages.MarkPassed,
    messages.StatusRequest,
    messages.StatusAnswer,
    # Between machines.
    machine_messages.Up,
    machine_messages.Down,
    machine_messages.Beat,
    machine_messages.Join,
    machine_messages.Welcome,
    machine_messages.Refuse,
    machine_messages.Leave,
    machine_messages.SourceIs,
    machine_messages.ProcessIs,
    machine_messages.Order,
    machine_messages.Retune,
    machine_messages.AskStatus,
    machine_messages.TellStatus,
    machine_messages.StartGate,
    machine_messages.ToMachine,
    machine_messages.FromMachine,
    machine_messages.LineEnded,
    machine_messages.StartMachine,
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

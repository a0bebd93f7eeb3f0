"""What may cross from one process to another: every class that messages hold.

A message of another class, or one that holds another, is refused where it
arrives. Jobs and results are plain JSON values, so no class of a user's travels.
"""

from __future__ import annotations

from actors.flow import messages as protocol
from actors.flow.facts import Accounting
from actors.runtime.config import FetcherConfig, ProcessorConfig, SystemConfig
from actors.stages import messages

ADMITTED: tuple[type, ...] = (
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
    messages.Pause,
    messages.Resume,
    messages.Tune,
    messages.StatusRequest,
    messages.StatusAnswer,
    # What these hold.
    Accounting,
    FetcherConfig,
    ProcessorConfig,
    SystemConfig,
)

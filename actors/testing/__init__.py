"""Testing a pipeline without processes and without waiting.

``Harness`` runs the actors of production in one thread, on virtual time. With
pytest there is the fixture ``pipeline``, and ``running_system`` for real
processes.
"""

from actors.testing.harness import (
    CommandRefusedError,
    Ended,
    Harness,
    Message,
    NotIdleError,
)
from actors.testing.world import SystemEndedError

__all__ = [
    "CommandRefusedError",
    "Ended",
    "Harness",
    "Message",
    "NotIdleError",
    "SystemEndedError",
]

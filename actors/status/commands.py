"""The commands that a running system takes over its control socket, and its answers.

Each command is a class, which says what its answer is: who sends one is told by the
types what comes back, and who carries one out reads the same fields.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NotRequired,
    Self,
    TypedDict,
    TypeVar,
    final,
)

from actors.host import control_socket
from actors.host.control_socket import ControlError
from actors.status.model import MemberStatus, StandbyStatus, SystemStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from actors.demand.job import AccountingCounts

Answer = TypeVar("Answer")


class RefusedError(ControlError):
    """The system will not carry out the command; the text says why."""


class StandbyError(RefusedError):
    """It waits to take over from another one, and does nothing meanwhile."""

    def __init__(self, status: StandbyStatus) -> None:
        super().__init__(status["error"])
        self.status = status


@final
class Refusal(TypedDict):
    """The answer to a command that is not carried out."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Generic[Answer]):
    """What all of them are: JSON, with a verb."""

    verb: ClassVar[str]

    @classmethod
    def of(cls, command: Mapping[str, Any]) -> Self:
        """Read a command; what its values are is for its verb to check."""
        values = {
            each.name: command.get(each.name, each.default) for each in fields(cls)
        }
        return cls(
            **{name: None if it is MISSING else it for name, it in values.items()}
        )

    def as_dict(self) -> dict[str, Any]:
        """The command as JSON has it; what is None is left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        said = {name: value for name, value in values.items() if value is not None}
        return {"verb": self.verb} | said


def ask(path: Path, command: Command[Answer], timeout_s: float) -> Answer:
    """Send a command to the system that listens at ``path``, and wait.

    Raises:
        NotRunningError: Nobody listens there.
        NoAnswerError: There was no answer in time.
        RefusedError: The answer is an error.
        StandbyError: Likewise, of one that waits.
    """
    answer: Any = control_socket.ask(path, command.as_dict(), timeout_s)
    if answer.get("state") == "standby":
        raise StandbyError(answer)
    if "error" in answer:
        raise RefusedError(answer["error"])
    told: Answer = answer
    return told


class AskStatus(Command[SystemStatus | MemberStatus]):
    """How is it?"""

    verb = "status"


@final
class Journal(TypedDict):
    """The journal's file; None if there is none."""

    journal: str | None


class AskJournal(Command[Journal]):
    """Which file is the journal?"""

    verb = "journal"


class Attached(TypedDict):
    """Names of the new processors, or of the fetchers that are back."""

    attached: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach(Command[Attached]):
    """Add processors of a kind, which need not be said if there is one.

    Attributes:
        names: Fetchers that were detached, to be started again instead.
    """

    verb = "attach"
    count: int = 1
    processor: str | None = None
    names: list[str] | None = None


class Detached(TypedDict):
    """Names of the processors, or fetchers, that are gone.

    Attributes:
        follows: What becomes of jobs that nobody takes any more, in sentences.
    """

    detached: list[str]
    follows: NotRequired[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach(Command[Detached]):
    """Let stages finish, and remove them: those named, else the last processors."""

    verb = "detach"
    names: list[str] | None = None
    count: int | None = None


@final
class Stopped(TypedDict):
    """Where every job is at the end."""

    accounting: AccountingCounts


@final
class MemberStopped(TypedDict):
    """How many processors of a machine that joined were left at its end."""

    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Command[Stopped | MemberStopped]):
    """Drain and end the system; ``now`` without the drain."""

    verb = "stop"
    now: bool | None = None


class Paused(TypedDict):
    """Names of the fetchers."""

    paused: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Command[Paused]):
    """Stop the polling; with ``hold``, send no jobs to processors either."""

    verb = "pause"
    names: list[str] | None = None
    hold: bool | None = None


class Resumed(TypedDict):
    """Names of the fetchers."""

    resumed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Command[Resumed]):
    """Go on after a pause."""

    verb = "resume"
    names: list[str] | None = None


class WasSet(TypedDict):
    """Names of the stages whose settings were changed."""

    set: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetValues(Command[WasSet]):
    """Change settings of stages, of all that have them if none is named."""

    verb = "set"
    values: dict[str, Any]
    names: list[str] | None = None


class Asked(TypedDict):
    """How many jobs each processor asks for."""

    asked: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskJobs(Command[Asked]):
    """Let a processor with manual demand ask for jobs."""

    verb = "ask"
    name: str
    count: int
    source: str | None = None


class Passed(TypedDict):
    """Names of the fetchers whose jobs are finished."""

    passed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Command[Passed]):
    """Wait until all jobs are finished that these fetchers have fetched so far."""

    verb = "wait"
    names: list[str] | None = None


class Decided(TypedDict):
    """How many jobs the decision was about."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideJobs(Command[Decided]):
    """Retry or discard quarantined jobs, or cancel others: their keys, by fetcher."""

    verb = "jobs"
    action: str
    keys: dict[str, list[int]]


class SourceStateIs(TypedDict):
    """The state of a source, and how long ago it was told, if it was."""

    state: Any
    age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState(Command[SourceStateIs]):
    """Look at where a fetcher is in its source, or ``set`` another ``state``."""

    verb = "state"
    fetcher: str
    action: str
    state: Any = None

    def as_dict(self) -> dict[str, Any]:
        """The command as JSON has it; that there is no state is one, too."""
        said = {"verb": self.verb, "fetcher": self.fetcher, "action": self.action}
        return said | ({"state": self.state} if self.action == "set" else {})


class Begin(Command[None]):
    """The main process's order: let the fetchers poll. There is no answer."""

    verb = "begin"

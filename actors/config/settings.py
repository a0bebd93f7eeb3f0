"""The settings by name: what each may be, its default, and what ``--help`` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.config.value_types import (
    COUNT,
    COUNT_FROM_0,
    COUNT_OR_AUTO,
    FUNCTION,
    PROCESSES,
    SECONDS,
    TEXT,
    Kind,
    choice,
    count,
    seconds,
    text_as,
)
from actors.demand.dedup import WINDOW_S
from actors.host.descendants import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterable


LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the command line.

    Attributes:
        name: Its key in the file.
        metavar: How ``--help`` shows its value.
        secret: Whether its value is never shown.
    """

    name: str
    kind: Kind
    default: Any
    metavar: str
    help: str
    secret: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + _bare(self.name).replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "LOWTIDE_" + _bare(self.name).upper()


def _bare(name: str) -> str:
    return name.removesuffix("_s")


#: Bytes.
MIB = 1 << 20

SETTINGS = (
    Setting(
        name="url",
        kind=text_as("a URL"),
        default=None,
        metavar="URL",
        help="the API to poll; without it the bundled number server is started",
    ),
    Setting(
        name="fetch",
        kind=FUNCTION,
        default="domain.numbers:fetch",
        metavar="MODULE:FUNCTION",
        help="returns one job, or None for none now",
    ),
    Setting(
        name="process",
        kind=FUNCTION,
        default="domain.numbers:process",
        metavar="MODULE:FUNCTION",
        help="takes a job, returns its result",
    ),
    Setting(
        name="every_s",
        kind=SECONDS,
        default=2.0,
        metavar="SECONDS",
        help="between a poll that found nothing more and the next",
    ),
    Setting(
        name="processors",
        kind=PROCESSES,
        default=2,
        metavar="N",
        help="how many to start",
    ),
    Setting(
        name="max_demand",
        kind=COUNT_OR_AUTO,
        default=1,
        metavar="N|auto",
        help="jobs a processor may have asked for and not worked off; auto follows "
        "the time of a job",
    ),
    Setting(
        name="min_demand",
        kind=COUNT_FROM_0,
        default=None,
        metavar="N",
        help="a processor asks again when it is down to this (half of --max-demand)",
    ),
    Setting(
        name="buffer",
        kind=COUNT,
        default=1000,
        metavar="N",
        help="jobs to hold before polling stops",
    ),
    Setting(
        name="buffer_mib",
        kind=COUNT,
        default=64,
        metavar="MIB",
        help="what they may come to before polling stops",
    ),
    Setting(
        name="journal",
        kind=text_as("a file, or none"),
        default="lowtide.db",
        metavar="FILE|none",
        help="where jobs are kept until they are done",
    ),
    Setting(
        name="job_timeout_s",
        kind=SECONDS,
        default=None,
        metavar="SECONDS",
        help="how long one attempt may run; its process is replaced then",
    ),
    Setting(
        name="lease_s",
        kind=seconds(0.1),
        default=60.0,
        metavar="SECONDS",
        help="how long a processor that holds jobs may be silent, and any process "
        "for 15 at least; it is killed then",
    ),
    Setting(
        name="retries",
        kind=COUNT,
        default=5,
        metavar="N",
        help="attempts a job has in all",
    ),
    Setting(
        name="quarantine",
        kind=COUNT,
        default=1000,
        metavar="N",
        help="jobs a fetcher may have set aside before it polls no more",
    ),
    Setting(
        name="quarantine_mib",
        kind=COUNT,
        default=64,
        metavar="MIB",
        help="what their payloads may come to before it polls no more",
    ),
    Setting(
        name="journal_mib",
        kind=COUNT,
        default=None,
        metavar="MIB",
        help="what the journal may come to before fetchers poll no more (any size)",
    ),
    Setting(
        name="remember_s",
        kind=seconds(0.0),
        default=WINDOW_S,
        metavar="SECONDS",
        help="how long after a job's end its id is known, so that it is not run "
        "again (7 days)",
    ),
    Setting(
        name="drain_timeout_s",
        kind=seconds(0.0),
        default=25.0,
        metavar="SECONDS",
        help="how long a stop may take to finish what is there",
    ),
    Setting(
        name="port",
        kind=count(0, 65535),
        default=4570,
        metavar="N",
        help="the number that names the system; 0 picks a free one",
    ),
    Setting(
        name="bind",
        kind=text_as("HOST or HOST:PORT"),
        default=None,
        metavar="HOST[:PORT]",
        help="let other machines join at this address, with a key; the port is that "
        "of --port if none is given; without it there is no way in",
    ),
    Setting(
        name="cluster_key_file",
        kind=text_as("a file"),
        default=None,
        metavar="FILE",
        help="of mode 0600, holds the key that all machines share, at least 32 bytes; "
        "LOWTIDE_CLUSTER_KEY beats it",
    ),
    Setting(
        name="machine_timeout_s",
        kind=seconds(0.5),
        default=5.0,
        metavar="SECONDS",
        help="how long another machine may be silent; its jobs are done elsewhere then",
    ),
    Setting(
        name="log_format",
        kind=choice("console", "json"),
        default=None,
        metavar="console|json",
        help="console on a terminal, else json",
    ),
    Setting(
        name="log_level",
        kind=choice(*LEVELS),
        default="info",
        metavar="LEVEL",
        help=f"one of {', '.join(LEVELS)}",
    ),
    Setting(
        name="for_s",
        kind=SECONDS,
        default=None,
        metavar="SECONDS",
        help="stop after so long",
    ),
    Setting(
        name="until_idle_s",
        kind=SECONDS,
        default=None,
        metavar="SECONDS",
        help="stop when there was nothing left to do for so long",
    ),
    Setting(
        name="web",
        kind=count(1, 65535),
        default=None,
        metavar="PORT",
        help="serve a page, /metrics, /readyz and the like at this port on loopback",
    ),
    Setting(
        name="web_token",
        kind=TEXT,
        default=None,
        metavar="TOKEN",
        help="who has it may pause, attach, retry ... on the page; none: read-only",
        secret=True,
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
#: Variables of ours that are no settings.
OTHER_VARIABLES = frozenset(
    {"LOWTIDE_CLUSTER_KEY", "LOWTIDE_CONFIG", "LOWTIDE_STATE_DIR", "LOWTIDE_TEST_MARK"}
)


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Names that look like settings of ours and are none.

    They are told and not refused: Kubernetes sets some of its own making for a
    service of our name.
    """
    known = {setting.variable for setting in SETTINGS} | OTHER_VARIABLES | {COOKIE}
    ours = {name for name in environment if name.startswith("LOWTIDE_")}
    return sorted(ours - known)

"""What ``set`` may change while a system runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.config.errors import ConfigError
from actors.config.settings import BY_NAME
from actors.config.value_types import COUNT, GATE, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """One key of the stages' configuration.

    Attributes:
        key: Its name, in the configuration of a stage.
        table: ``fetcher`` or ``processor``: whose it is.
        kind: What it may be.
        flag: Its name on the command line.
        metavar: How ``--help`` shows its value.
    """

    key: str
    table: str
    kind: Kind
    flag: str
    metavar: str
    help: str

    def parse(self, text: str) -> Any:
        """Its value from the text of its flag.

        Raises:
            ConfigError: It is not what the key may be.
        """
        try:
            return self.kind.parse(text)
        except ValueError:
            raise ConfigError(
                f"{self.flag} must be {self.kind.expected}, got {text!r}"
            ) from None


def _from_setting(name: str, table: str) -> Tunable:
    setting = BY_NAME[name]
    return Tunable(
        key=name,
        table=table,
        kind=setting.kind,
        flag=setting.flag,
        metavar=setting.metavar,
        help=setting.help,
    )


_COUNT_OR_NONE = Kind(
    f"{COUNT.expected}, or none",
    lambda text: None if text == "none" else COUNT.parse(text),
    lambda value: None if value is None else COUNT.check(value),
)

TUNABLES = {
    each.key: each
    for each in (
        _from_setting("every_s", "fetcher"),
        _from_setting("max_demand", "processor"),
        Tunable(
            key="rate_limit",
            table="fetcher",
            kind=_COUNT_OR_NONE,
            flag="--rate-limit",
            metavar="N|none",
            help="jobs to send in any rate_interval_s at most",
        ),
        Tunable(
            key="demand",
            table="fetcher",
            kind=GATE,
            flag="--demand",
            metavar="accumulate|forward",
            help="accumulate: fetch and send nothing; forward: let it go",
        ),
    )
}

"""What a value may be, from text or from TOML, and how that is said in words.

Apart from the settings, since keys of the file's tables, and what ``set`` may
change, are of these kinds too and no settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

#: The value of max_demand that lets the window follow the time of a job.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be.

    Attributes:
        expected: In words, for messages.
        parse: From text; raises ValueError.
        check: From a TOML value; raises ValueError.
    """

    expected: str
    parse: Callable[[str], Any]
    check: Callable[[Any], Any]


def seconds(low: float, *, above: bool = False) -> Kind:
    """A number of seconds from ``low``; only above it, if that is said."""
    expected = f"a number of seconds {'above' if above else 'from'} {low:g}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(expected)
        if not low <= value < float("inf") or (above and value == low):
            raise ValueError(expected)
        return float(value)

    return Kind(expected, lambda text: check(float(text)), check)


def count(low: int, high: int | None = None) -> Kind:
    """A whole number from ``low``, up to ``high`` if that is given."""
    expected = f"a whole number from {low}" + (f" to {high}" if high else "")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(expected)
        if value < low or (high is not None and value > high):
            raise ValueError(expected)
        return value

    return Kind(expected, lambda text: check(int(text)), check)


def _count_or_auto() -> Kind:
    expected = f"{COUNT.expected}, or {AUTO}"

    def check(value: Any) -> int | str:
        return AUTO if value == AUTO else int(COUNT.check(value))

    def parse(text: str) -> int | str:
        return AUTO if text == AUTO else int(COUNT.parse(text))

    return Kind(expected, parse, check)


def choice(*choices: str) -> Kind:
    """One of several words."""
    expected = "one of " + ", ".join(choices)

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(expected)
        return str(value)

    return Kind(expected, check, check)


def text_as(expected: str) -> Kind:
    """Text that is not empty; ``expected`` says what it is for messages."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(expected)
        return value

    return Kind(expected, check, check)


def _instance(of: type, expected: str) -> Kind:
    def check(value: Any) -> Any:
        if not isinstance(value, of):
            raise ValueError(expected)
        return value

    return Kind(expected, str, check)


def _function() -> Kind:
    expected = "MODULE:FUNCTION, as in domain.numbers:fetch"

    def check(value: Any) -> str:
        parts = value.split(":") if isinstance(value, str) else []
        if len(parts) != 2 or not all(parts):  # noqa: PLR2004 - module and function
            raise ValueError(expected)
        return str(value)

    return Kind(expected, check, check)


COUNT = count(1)
COUNT_FROM_0 = count(0)
COUNT_OR_AUTO = _count_or_auto()
PROCESSES = count(0, 256)
SECONDS = seconds(0.0, above=True)
FUNCTION = _function()
TEXT = text_as("some text")
TRUE_OR_FALSE = _instance(bool, "true or false")
TABLE = _instance(dict, "a table")
GATE = choice("accumulate", "forward")


def checked(kind: Kind, value: Any, key: str, where: str) -> Any:
    """A TOML value, if it is of its kind.

    Raises:
        ConfigError: It is not.
    """
    try:
        return kind.check(value)
    except ValueError:
        raise ConfigError(
            f"{where}: {key} must be {kind.expected}, got {value!r}"
        ) from None

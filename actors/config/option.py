"""An option: what it may be, where it is given, and what is said of it.

Everything about an option stands in its declaration, which is a field of a class in
``actors.config.model``: flags, environment, the file's keys, ``check --show``, ``set``,
the harness's keywords and ``docs/settings.md`` are all made from that.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from actors.config.errors import ConfigError
from actors.user_code.imports import source_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

#: The value of max_demand that lets the window follow the time of a job.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a value may be, from text or from TOML, and how that is said in words.

    Attributes:
        expected: In words, for messages.
        metavar: How ``--help`` shows a value.
        parse: From text; raises ValueError.
        check: From a TOML value; raises ValueError.
    """

    expected: str
    metavar: str
    parse: Callable[[str], Any]
    check: Callable[[Any], Any]

    def or_none(self) -> ValueType:
        """The same, or the word ``none``."""
        return ValueType(
            f"{self.expected}, or none",
            f"{self.metavar}|none",
            lambda text: None if text == "none" else self.parse(text),
            lambda value: None if value is None else self.check(value),
        )


def seconds_from(low: float, *, above: bool = False) -> ValueType:
    """A number of seconds from ``low``; only above it, if that is said."""
    expected = f"a number of seconds {'above' if above else 'from'} {low:g}"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(expected)
        if not low <= value < float("inf") or (above and value == low):
            raise ValueError(expected)
        return float(value)

    return ValueType(expected, "SECONDS", lambda text: check(float(text)), check)


def count_from(low: int, high: int | None = None, metavar: str = "N") -> ValueType:
    """A whole number from ``low``, up to ``high`` if that is given."""
    expected = f"a whole number from {low}" + (f" to {high}" if high else "")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(expected)
        if value < low or (high is not None and value > high):
            raise ValueError(expected)
        return value

    return ValueType(expected, metavar, lambda text: check(int(text)), check)


def choice(*choices: str) -> ValueType:
    """One of several words."""
    expected = "one of " + ", ".join(choices)

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(expected)
        return str(value)

    return ValueType(expected, "|".join(choices), check, check)


def word_or(words: tuple[str, ...], other: ValueType, expected: str) -> ValueType:
    """One of these words, or a value of the other type."""

    def check(value: Any) -> Any:
        return value if value in words else other.check(value)

    def parse(text: str) -> Any:
        return text if text in words else other.parse(text)

    return ValueType(expected, "|".join((other.metavar, *words)), parse, check)


def text_as(expected: str, metavar: str = "TEXT") -> ValueType:
    """Text that is not empty; ``expected`` says what it is for messages."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(expected)
        return value

    return ValueType(expected, metavar, check, check)


def secret_text(least: int, metavar: str) -> ValueType:
    """Text that nobody guesses; ``least`` is how many characters it has."""
    expected = f"text of at least {least} characters"

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) < least:
            raise ValueError(expected)
        return value

    return ValueType(expected, metavar, check, check)


def _instance(of: type, expected: str) -> ValueType:
    def check(value: Any) -> Any:
        if not isinstance(value, of):
            raise ValueError(expected)
        return value

    return ValueType(expected, "", str, check)


def _function() -> ValueType:
    expected = "MODULE:FUNCTION, as in domain.numbers:fetch"

    def check(value: Any) -> str:
        parts = value.split(":") if isinstance(value, str) else []
        if len(parts) != 2 or not all(parts):  # noqa: PLR2004 - module and function
            raise ValueError(expected)
        return str(value)

    return ValueType(expected, "MODULE:FUNCTION", check, check)


def _fetch() -> ValueType:
    expected = f"{FUNCTION.expected}, or a source by its short name, as api"

    def check(value: Any) -> str:
        named = None
        if isinstance(value, str) and value.isidentifier():
            named = source_named(value)
        return str(FUNCTION.check(value)) if named is None else named

    return ValueType(expected, "MODULE:FUNCTION|SOURCE", check, check)


def _sources() -> ValueType:
    expected = "a list of names, or tables, of sources, at least one"

    def check(value: Any) -> Any:
        if not isinstance(value, list) or not value:
            raise ValueError(expected)
        if not all(isinstance(e, dict) or (isinstance(e, str) and e) for e in value):
            raise ValueError(expected)
        return value

    return ValueType(expected, "", str, check)


COUNT = count_from(1)
COUNT_FROM_0 = count_from(0)
COUNT_OR_AUTO = word_or((AUTO,), COUNT, f"{COUNT.expected}, or {AUTO}")
MEBIBYTES = count_from(1, metavar="MIB")
SECONDS = seconds_from(0.0, above=True)
SECONDS_FROM_0 = seconds_from(0.0)
FUNCTION = _function()
FETCH = _fetch()
SOURCES = _sources()
TEXT = text_as("some text")
TRUE_OR_FALSE = _instance(bool, "true or false")
TABLE = _instance(dict, "a table")


def _urls(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError
    if not all(isinstance(each, str) and ":" in each for each in value):
        raise ValueError
    return tuple(value)


URLS = ValueType(
    "a list of URLs, each SCHEME://...",
    "URLS",
    lambda text: _urls(text.split()),
    _urls,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, as it was declared.

    Attributes:
        field: Its name in the configuration.
        key: Its name in a table of the file; empty if it stands at the top only.
        setting: Its name at the top of the file, for all stages or for the system;
            flag and variable come from it. Empty if it stands in a table only.
        type: What it may be.
        default: None where there is none, or none that is the same for everybody.
        required: Whether each table has to have it.
        help: What it is, for ``--help`` and the docs.
        live: Whether ``set`` may change it while a system runs.
        secret: Whether its value is never shown.
        on_machines: Whether ``join`` takes it as well.
        leader_only: Whether other machines are not told of it.
    """

    field: str = ""
    key: str = ""
    setting: str = ""
    type: ValueType
    default: Any = None
    required: bool = False
    help: str
    live: bool = False
    secret: bool = False
    on_machines: bool = False
    leader_only: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line, of ``run`` or of ``set``."""
        return "--" + self._bare.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return "LOWTIDE_" + self._bare.upper()

    @property
    def live_type(self) -> ValueType:
        """What ``set`` may make of it: nothing, too, where that is the default."""
        return self.type.or_none() if self.default is None else self.type

    @property
    def _bare(self) -> str:
        return (self.setting or self.key).removesuffix("_s")

    def parse(self, text: str, origin: str) -> Any:
        """Its value from text.

        Raises:
            ConfigError: It is not what the option may be.
        """
        return self._made(self.type.parse, self.type, text, origin)

    def parse_live(self, text: str) -> Any:
        """Its value from the text of the flag of ``set``.

        Raises:
            ConfigError: It is not what the option may be.
        """
        return self._made(self.live_type.parse, self.live_type, text, self.flag)

    def check(self, value: Any, key: str, where: str) -> Any:
        """Its value from a value of the file, which stands there as ``key``.

        Raises:
            ConfigError: It is not what the option may be.
        """
        return self._made(self.type.check, self.type, value, f"{where}: {key}")

    def _made(
        self, make: Callable[[Any], Any], as_type: ValueType, value: Any, name: str
    ) -> Any:
        try:
            return make(value)
        except ValueError:
            got = f"{value!r}{self._meant(value)}"
            if self.secret:
                # Never the value itself, nor a part of it.
                got = type(value).__name__
                if isinstance(value, str | list):
                    what = "characters" if isinstance(value, str) else "elements"
                    got = f"{len(value)} {what}"
            raise ConfigError(f"{name} must be {as_type.expected}, got {got}") from None

    def _meant(self, value: Any) -> str:
        """Ask whether a function of this module was meant, if it names one."""
        module = value.removesuffix(".py") if isinstance(value, str) else ""
        is_module = all(part.isidentifier() for part in module.split("."))
        if self.type not in (FUNCTION, FETCH) or not is_module:
            return ""
        return f"; did you mean {module}:{self.key}?"


def option(
    type_: ValueType, default: T, text: str, *, setting: bool | str = False, **more: Any
) -> T:
    """Declare an option with a default, as a field of a configuration.

    Args:
        type_: What it may be.
        default: Its value where none is given.
        text: What it is.
        setting: Whether it may also stand at the top of the file, for all stages;
            or its name there.
        more: Other attributes of ``Option``.
    """
    field: T = dataclasses.field(
        default=default,
        repr=not more.get("secret", False),
        metadata=described(type_, text, setting=setting, **more),
    )
    return field


def described(type_: ValueType, text: str, **more: Any) -> dict[str, Any]:
    """Describe an option in the metadata of its field; see ``option``."""
    return {"option": {"type": type_, "help": text, **more}}


def options_of(config: type, *, is_system: bool = False) -> Iterator[Option]:
    """The options that a class declares, before those that it inherits.

    Args:
        config: A dataclass.
        is_system: Whether its options stand at the top of the file.
    """
    fields = dataclasses.fields(config)
    own = config.__annotations__
    for each in sorted(fields, key=lambda each: each.name not in own):
        if "option" in each.metadata:
            yield _option_of(each, is_system=is_system, **each.metadata["option"])


def _option_of(
    field: dataclasses.Field[Any],
    *,
    is_system: bool,
    setting: bool | str = False,
    **declared: Any,
) -> Option:
    declared = {"key": field.name} | declared
    name = setting if isinstance(setting, str) else ""
    if not name and (setting or is_system):
        name = declared["key"]
    if is_system:
        declared["key"] = ""
    has_default = field.default is not MISSING
    return Option(
        field=field.name,
        setting=name,
        default=field.default if has_default else None,
        required=not has_default and field.default_factory is MISSING,
        **declared,
    )

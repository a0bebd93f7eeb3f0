"""What the settings are for this run, and where each value came from.

A value comes from a flag, else from the environment, else from the file, else it
is the default. Whatever is wrong is said with where it stands and what was
expected. Apart from the settings themselves, which are a list to look things up in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.config.errors import ConfigError, Problems, near
from actors.config.settings import BY_NAME, SETTINGS
from actors.config.value_types import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.config.settings import Setting
    from actors.config.toml_file import ConfigFile


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, and where it stands."""

    value: Any
    origin: str


def is_over_file(value: Value) -> bool:
    """Whether a value comes from where it beats the file."""
    return value.origin.startswith(("--", "LOWTIDE_"))


def resolve(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: ConfigFile | None,
) -> dict[str, Value]:
    """Find each setting's value.

    Args:
        flags: Text by setting's name; None where the flag was not given.
        environment: ``os.environ``, or what stands for it.
        file: If there is one.

    Raises:
        ConfigError: A value is not what its setting may be, or a key of the file
            is no setting.
    """
    problems = Problems()
    values = resolve_noting(flags, environment, file, problems)
    problems.refuse()
    return values


def resolve_noting(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: ConfigFile | None,
    problems: Problems,
) -> dict[str, Value]:
    """As ``resolve``; a value that cannot be used is noted, and its default taken."""
    for key in file.content if file else ():
        if key not in BY_NAME and key not in ("fetcher", "processor"):
            assert file is not None  # noqa: S101 - it has the key
            problems.add(
                f"{file.where(key)}: unknown key {key!r}, expected one of "
                f"{', '.join((*BY_NAME, '[[fetcher]]', '[[processor]]'))}"
                f"{near(key, (*BY_NAME, 'fetcher', 'processor'))}"
            )
    values = {}
    for setting in SETTINGS:
        values[setting.name] = Value(setting.default, "default")
        with problems.noted():
            values[setting.name] = find(setting, flags, environment, file)
    return values


def find(
    setting: Setting,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: ConfigFile | None,
) -> Value:
    """Find the value of one setting; see ``resolve``.

    Raises:
        ConfigError: It is not what the setting may be.
    """
    if (text := flags.get(setting.name)) is not None:
        return _parsed(setting, text, setting.flag)
    if (text := environment.get(setting.variable)) is not None:
        return _parsed(setting, text, setting.variable)
    if file is not None and setting.name in file.content:
        where = file.where(setting.name)
        value = file.content[setting.name]
        return Value(checked(setting.kind, value, setting.name, where), where)
    return Value(setting.default, "default")


def _parsed(setting: Setting, text: str, origin: str) -> Value:
    try:
        return Value(setting.kind.parse(text), origin)
    except ValueError:
        raise ConfigError(
            f"{origin} must be {setting.kind.expected}, got {text!r}"
        ) from None

"""What the settings are for this run, and where each value came from.

A value comes from a flag, else from the environment, else from the file, else it
is the default. Whatever is wrong is said with where it stands and what was
expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.config.errors import Problems, near
from actors.config.model import SETTINGS, STAGE_OPTIONS, belongs
from actors.host.descendants import KEEPER, STAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors.config.option import Option
    from actors.config.toml_file import ConfigFile

#: The table of what is called at events.
HOOKS = "hooks"

#: Variables of ours that are no settings.
_OTHER_VARIABLES = frozenset(
    {
        "LOWTIDE_CLUSTER_KEY",
        "LOWTIDE_CONFIG",
        "LOWTIDE_STATE_DIR",
        KEEPER,
        STAGE,
    }
)


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
    known = (*SETTINGS, *STAGE_OPTIONS, HOOKS)
    for key in file.content if file else ():
        if key not in known:
            assert file is not None  # noqa: S101 - it has the key
            tables = (*(f"[[{table}]]" for table in STAGE_OPTIONS), f"[{HOOKS}]")
            problems.add(
                f"{file.where(key)}: unknown key {key!r}, expected one of "
                f"{', '.join((*SETTINGS, *tables))}{belongs(key) or near(key, known)}"
            )
    values = {}
    for name, option in SETTINGS.items():
        values[name] = Value(option.default, "default")
        with problems.noted():
            values[name] = find(option, flags, environment, file)
    return values


def find(
    option: Option,
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: ConfigFile | None,
) -> Value:
    """Find the value of one setting; see ``resolve``.

    Raises:
        ConfigError: It is not what the setting may be.
    """
    name = option.setting
    texts = {
        option.flag: flags.get(name),
        option.variable: environment.get(option.variable),
    }
    for origin, text in texts.items():
        if text is not None:
            return Value(option.parse(text, origin), origin)
    if file is not None and name in file.content:
        where = file.where(name)
        return Value(option.check(file.content[name], name, where), where)
    return Value(option.default, "default")


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Names that look like settings of ours and are none.

    They are logged and not refused: Kubernetes sets some of its own making for a
    service of our name.
    """
    known = {option.variable for option in SETTINGS.values()} | _OTHER_VARIABLES
    ours = {name for name in environment if name.startswith("LOWTIDE_")}
    return sorted(ours - known)

"""The whole of actors/settings.py, from the declarations in actors/config/model.py."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from actors.config.model import (
    FETCHER_OPTIONS,
    PROCESSOR_OPTIONS,
    SETTINGS,
    SOURCE_OPTIONS,
    FetcherConfig,
    ProcessorConfig,
    SubscriptionOptions,
    SystemConfig,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.config.option import Option

HEAD = '''\
"""The settings by name and type, for editors and type checkers.

``scripts/settings_types > actors/settings.py`` writes this file from the options that
``actors/config/model.py`` declares.
"""

from __future__ import annotations

import os  # noqa: TC003 - who asks for the types finds it
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

#: A function of a module, or its name as ``MODULE:FUNCTION``.
Function: TypeAlias = Callable[..., Any] | str
'''
#: What the classes of the library have parameters of their own for.
_APART = {"name", "fetch", "options", "process", "from", "count"}
#: By event, as in the table of the file.
_HOOKS = "Mapping[str, Function | Sequence[Function]] | None"
#: Of a line, as the formatter has it.
_WIDTH = 88


def module() -> str:
    """The text of the module."""
    return "\n\n".join(
        [
            HEAD,
            _typed(
                "PipelineSettings",
                "What may stand at the top of a file: keywords of ``Pipeline``.",
                SETTINGS.values(),
                SystemConfig,
                FetcherConfig,
                ProcessorConfig,
            ),
            _typed(
                "FetcherSettings",
                "The keys of a ``[[fetcher]]`` table.",
                _without(FETCHER_OPTIONS.values()),
                FetcherConfig,
            ),
            _typed(
                "ProcessorSettings",
                "The keys of a ``[[processor]]`` table.",
                _without(PROCESSOR_OPTIONS.values()),
                ProcessorConfig,
            ),
            _typed(
                "SourceSettings",
                "The keys of a table in a processor's ``from``.",
                SOURCE_OPTIONS.values(),
                SubscriptionOptions,
            ),
        ]
    )


def _without(options: Iterable[Option]) -> list[Option]:
    return [each for each in options if each.key not in _APART]


def _typed(name: str, text: str, options: Iterable[Option], *configs: type) -> str:
    types = {
        each.name: str(each.type)
        for config in configs
        for each in dataclasses.fields(config)
    }
    at_top = name == "PipelineSettings"
    more = [_row("hooks", _HOOKS)] if at_top else []
    rows = [
        _row(each.setting if at_top else each.key, _type(each, types, at_top))
        for each in options
    ]
    head = f'class {name}(TypedDict, total=False):\n    """{text}"""\n'
    return "\n".join([head, *rows, *more, ""])


def _row(name: str, declared: str) -> str:
    row = f"    {name}: {declared}"
    if len(row) <= _WIDTH:
        return row
    # As the formatter has it.
    words, _, more = declared.removeprefix("Literal[").partition("]")
    return f"    {name}: (\n        Literal[{words}]{more}\n    )"


def _type(option: Option, types: dict[str, str], at_top: bool) -> str:  # noqa: FBT001
    declared = types.get(option.field, "str").removesuffix(" | None")
    if option.type.expected.startswith("one of "):
        words = option.type.expected.removeprefix("one of ").split(", ")
        declared = f"Literal[{', '.join(repr(each) for each in words)}]"
        declared = declared.replace("'", '"')
    if option.type.metavar == "URLS":
        declared = "Sequence[str]"
    if "FILE" in option.type.metavar:
        declared = "str | os.PathLike[str]"
    if "MODULE:FUNCTION" in option.type.expected + option.help:
        declared = "Function"
    if option.required:
        return f"Required[{declared}]"
    # What is None at the top is as if it were not given.
    return f"{declared} | None" if at_top else declared


if __name__ == "__main__":
    print(module(), end="")

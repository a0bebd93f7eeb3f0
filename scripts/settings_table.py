"""The whole of docs/settings.md, from the declarations in actors/config/model.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.config.model import (
    FETCHER_OPTIONS,
    PROCESSOR_OPTIONS,
    SETTINGS,
    SOURCE_OPTIONS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.config.option import Option

HEAD = """\
# Settings

`scripts/settings_table > docs/settings.md` writes this page from the options that
`actors/config/model.py` declares. `lowtide check --show` lists every value of a
configuration with where it comes from.

## For the whole system

Each of these is a flag, a variable of the environment, and a key at the top of the
file. A flag beats the environment, which beats the file. What is for stages counts for
those whose table does not have the key; a flag or a variable beats the tables as well.
"""
FETCHER = """
## Keys of a `[[fetcher]]` table

What has a flag under *live* can be changed by `lowtide set` while the system runs.
"""
PROCESSOR = """
## Keys of a `[[processor]]` table
"""
SOURCE = """
## Keys of a table in a processor's `from`

As in `from = ["north", { name = "south", max_demand = 8 }]`. What is not given is as
for the processor's other sources.
"""


def page() -> str:
    """The text of the page."""
    return "\n".join(
        [
            HEAD,
            *_rows(("flag", "environment", "key", "value", "default", "")),
            *(_setting(each) for each in SETTINGS.values()),
            *_stage(FETCHER, FETCHER_OPTIONS.values()),
            *_stage(PROCESSOR, PROCESSOR_OPTIONS.values()),
            SOURCE,
            *_rows(("key", "value", "")),
            *(
                _row(_code(each.key), _value(each), each.help)
                for each in SOURCE_OPTIONS.values()
            ),
        ]
    )


def _setting(option: Option) -> str:
    return _row(
        _code(f"{option.flag} {option.type.metavar}"),
        _code(option.variable),
        _code(option.setting),
        _value(option),
        _default(option),
        option.help,
    )


def _stage(head: str, options: Iterable[Option]) -> list[str]:
    rows = []
    for each in options:
        default = _default(each)
        if each.setting:
            default = f"as {_code(each.flag)}"
        live = _code(each.flag) if each.live else ""
        rows.append(_row(_code(each.key), _value(each), default, live, each.help))
    return [head, *_rows(("key", "value", "default", "live", "")), *rows]


def _value(option: Option) -> str:
    return option.type.expected.partition(", as in ")[0]


def _default(option: Option) -> str:
    if option.required:
        return "required"
    return "" if option.default in (None, ()) else _code(str(option.default))


def _rows(names: tuple[str, ...]) -> list[str]:
    return [_row(*names), "|" + "---|" * len(names)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(each.replace("|", "\\|") for each in cells) + " |"


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    print(page())

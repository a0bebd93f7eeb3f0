"""What stands for a value of the environment, or for the cursor, in an option."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["Problem", "Trail", "fill_cursor", "fill_environment", "needs_cursor"]

#: Keys and numbers of elements that lead to a place in the options.
Trail: TypeAlias = tuple[str | int, ...]
#: What is wrong, and where.
Problem: TypeAlias = tuple[Trail, str]

_BRACED = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
#: In headers the braces may be left out.
_BARE = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}|\benv:([A-Za-z_][A-Za-z0-9_]*)")
_CURSOR = "{cursor}"


def fill_environment(
    options: Mapping[str, Any], environ: Mapping[str, str], problems: list[Problem]
) -> dict[str, Any]:
    """Return the options with ``{env:NAME}`` filled in.

    A variable that is not set is noted as a problem, and left as it stands.
    """

    def filled(value: Any, path: Trail) -> Any:
        match value:
            case str() if "env:" in value:
                return _fill(value, path, environ, problems)
            case dict():
                return {key: filled(each, (*path, key)) for key, each in value.items()}
            case list() | tuple():
                return [filled(each, (*path, i)) for i, each in enumerate(value)]
            case _:
                return value

    return {key: filled(value, (key,)) for key, value in options.items()}


def _fill(
    text: str, path: Trail, environ: Mapping[str, str], problems: list[Problem]
) -> str:
    def variable(match: re.Match[str]) -> str:
        name = next(filter(None, match.groups()))
        if name not in environ:
            problems.append(
                (path, f"wants {name} from the environment, where it is not set")
            )
            return match[0]
        return environ[name].strip()

    pattern = _BARE if path[0] == "headers" else _BRACED
    return pattern.sub(variable, text)


def needs_cursor(value: Any) -> bool:
    """Whether ``{cursor}`` stands in it somewhere."""
    return any(_CURSOR in text for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
        case _:
            pass


def fill_cursor(value: Any, cursor: Any) -> Any:
    """Return a value with the cursor filled in; one of it alone keeps its type.

    Args:
        value: Any JSON value.
        cursor: None where there is none yet: what it would stand in is left out.
    """
    match value:
        case str() if value == _CURSOR:
            return cursor
        case str():
            return value.replace(_CURSOR, str(cursor))
        case Mapping():
            return {
                key: fill_cursor(each, cursor)
                for key, each in value.items()
                if not _is_left_out(each, cursor)
            }
        case list() | tuple():
            kept = (each for each in value if not _is_left_out(each, cursor))
            return [fill_cursor(each, cursor) for each in kept]
        case _:
            return value


def _is_left_out(value: Any, cursor: Any) -> bool:
    return cursor is None and isinstance(value, str) and _CURSOR in value

"""Which functions a machine runs for a leader, of those that it was told to allow.

Who has the cluster's key may say what is to be run: `os:system` is a function as any
other. A machine runs what it was told to (``join --allow``); by itself, what whoever
started it has put there for it: functions that stand in modules of its working
directory or of ``PYTHONPATH``, and the demo's.
"""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from actors.config.model import DEMO_PROCESS, PROCESSOR_OPTIONS, SOURCE_OPTIONS
from actors.user_code.imports import HOME, found_elsewhere, found_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.machinery import ModuleSpec

    from actors.config.model import ProcessorConfig, SystemConfig

_OURS = frozenset({"actors", "domain", "number_server"})
_INSTALLED = ("stdlib", "platstdlib", "purelib", "platlib")


def named_by(system: SystemConfig, kind: ProcessorConfig) -> set[str]:
    """Every function that a processor of this kind would call."""
    names = set(system.functions_of(kind))
    for options, holders in (
        (PROCESSOR_OPTIONS, (kind,)),
        (SOURCE_OPTIONS, tuple(kind.subscriptions.values())),
    ):
        for option in options.values():
            if option.field and "FUNCTION" in option.type.metavar:
                values = (getattr(holder, option.field) for holder in holders)
                names |= {each for each in values if each and ":" in str(each)}
    return names


def refused(names: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """Those that this machine does not run.

    Args:
        names: ``MODULE:FUNCTION``, as the leader says.
        allowed: The same, as whoever started this machine says; empty for what is
            here for it.
    """
    chosen = frozenset(allowed)
    if chosen:
        return sorted(name for name in names if name not in chosen)
    return sorted(name for name in names if name != DEMO_PROCESS and not _is_here(name))


def _is_here(name: str) -> bool:
    module, _, function = name.partition(":")
    top, *below = module.split(".")
    spec = found_here(top) or found_elsewhere(top)
    if top in _OURS or spec is None:
        return False
    file = _file_of(spec, below)
    if file is None or _is_installed(file):
        return False
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return False
    # One that the module has only imported is another module's.
    return function in set(_defined(tree))


def _file_of(spec: ModuleSpec, below: list[str]) -> Path | None:
    if not below:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    for place in spec.submodule_search_locations or ():
        path = Path(place).joinpath(*below)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def _is_installed(file: Path) -> bool:
    places = [Path(sysconfig.get_path(each)) for each in _INSTALLED]
    places += [HOME / each for each in _OURS]
    file = file.resolve()
    named = {"site-packages", "dist-packages"} & set(file.parts)
    return bool(named) or any(file.is_relative_to(each.resolve()) for each in places)


def _defined(tree: ast.Module) -> Iterator[str]:
    for each in tree.body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets, value=ast.Call() | ast.Lambda()):
                # What a decorator, or functools.partial, has made.
                yield from (one.id for one in targets if isinstance(one, ast.Name))
            case _:
                pass

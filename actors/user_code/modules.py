"""Where the user's modules are found: where the user is, after all others.

A file of the user's may be called ``queue.py`` or ``secrets.py``, as modules are that
we import, or those we import from do. It must not be found in their place.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def find_last() -> None:
    """Have modules found in the working directory, where they are nowhere else."""
    if "" not in sys.path:
        sys.path.append("")


def import_first(name: str) -> ModuleType:
    """Import the module of a job function: that of the working directory, if any.

    It may be called like one of Python's own that nobody has imported yet, as
    ``test`` or ``code``. What was imported already stays what it is.
    """
    top = name.partition(".")[0]
    spec = _of_the_user(top) if top not in sys.modules else None
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[top] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(top, None)
            raise
    return importlib.import_module(name)


def hidden(module: ModuleType) -> str | None:
    """The user's file that a module of the same name keeps from being found."""
    if "." in module.__name__:
        return None
    spec = _of_the_user(module.__name__)
    origin = getattr(spec, "origin", None)
    if not origin or not Path(origin).is_file():
        return None
    file = getattr(module, "__file__", None)
    if file is not None and Path(file).resolve() == Path(origin).resolve():
        return None
    return str(origin)


def _of_the_user(top: str) -> importlib.machinery.ModuleSpec | None:
    # Only where the user's modules are looked for: not in any library.
    if "" not in sys.path:
        return None
    return importlib.machinery.PathFinder.find_spec(top, [str(Path.cwd())])

"""Whose module an import finds: ours and our libraries', or the user's.

The user's modules are found in the working directory, which may be a stranger's. So
it is looked at last, never for what we or our libraries import (a library that is not
installed is not there, whatever file has its name), and never for a bundled source,
which is found beside this package.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import ModuleType

#: Where this package lies, and what is bundled with it.
HOME = Path(__file__).parents[2]

#: What imports nothing of the working directory. The sources are not among them: they
#: import a function that the user names.
_LIBRARIES = frozenset(
    {
        *("actors", "number_server"),
        *("requests", "urllib3", "certifi", "idna", "charset_normalizer"),
        *("structlog", "thespian", "jmespath"),
        *("rich", "prometheus_client", "setproctitle", "feedparser"),
    }
)
#: What is never found there, whoever asks: an extra of ours that may be missing.
_EXTRAS = frozenset({"feedparser", "prometheus_client", "rich", "setproctitle"})

#: The package of the bundled sources, and what it is called where the user has
#: another one of its name.
BUNDLED = "domain"
_STAND_IN = "lowtide_bundled_domain"

#: The bundled sources by their short names; see `source_named`.
SOURCES = {
    "api": f"{BUNDLED}.api:fetch",
    "leases": f"{BUNDLED}.leases:fetch",
    "numbers": f"{BUNDLED}.numbers:fetch",
}
#: What a bundled source imports only when it asks, by its module.
_ASKS_WITH = {f"{BUNDLED}.numbers": f"{BUNDLED}.number_api"}
#: The group of entry points by which others give their sources short names.
GROUP = "lowtide.sources"

#: Top modules of sources that were named by a short name: what is installed counts.
_installed: set[str] = set()


class _Guard:
    """Finds what a library imports everywhere but in the working directory."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Find a top module for a library; leave the rest to the others."""
        del target
        if path is not None:
            return None
        if name not in _EXTRAS and _importer() not in _LIBRARIES:
            return None
        spec = found_elsewhere(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec


def guard() -> None:
    """Keep the working directory from libraries, from now on."""
    if _Guard not in sys.meta_path:
        finders: list[object] = list(sys.meta_path)
        at = finders.index(PathFinder) if PathFinder in finders else 0
        sys.meta_path.insert(at, _Guard)


def found_elsewhere(top: str) -> ModuleSpec | None:
    """Where a top module is found, the working directory left out."""
    here = {"", str(Path.cwd())} - {str(HOME)}
    path = [each for each in sys.path if each not in here]
    spec = PathFinder.find_spec(top, path)
    if spec is not None:
        return spec
    for finder in sys.meta_path:
        if finder not in (_Guard, PathFinder) and hasattr(finder, "find_spec"):
            spec = finder.find_spec(top, None)
            if spec is not None:
                return spec
    return None


def found_here(top: str) -> ModuleSpec | None:
    """Where a top module is found in the working directory, if users' are."""
    if "" not in sys.path:
        return None
    return PathFinder.find_spec(top, [str(Path.cwd())])


def _importer() -> str:
    frame = sys._getframe(2)  # noqa: SLF001 - nothing else says who imports
    while frame is not None:
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top != "importlib":
            return top
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def source_named(word: str) -> str | None:
    """The function behind a source's short name, ``MODULE:FUNCTION``, if it has one."""
    if word in SOURCES:
        return SOURCES[word]
    for name, function in _entry_points():
        if name == word:
            _installed.add(function.partition(":")[0].partition(".")[0])
            return function
    return None


def _entry_points() -> Iterator[tuple[str, str]]:
    # Late: it takes longer than all else that a start without it needs.
    from importlib import metadata  # noqa: PLC0415

    for each in metadata.entry_points(group=GROUP):
        yield each.name, each.value


def import_named(name: str) -> ModuleType:
    """Import the module of a job function.

    A bundled source is the one that is bundled. Any other module is that of the
    working directory, if there is one: it may be called like one of Python's own that
    nobody has imported yet, as ``test`` or ``code``. What was imported already stays
    what it is.
    """
    name = real_name(name)
    top = name.partition(".")[0]
    known = top in sys.modules or top in _installed
    spec = None if known else found_here(top)
    if top == _STAND_IN and top not in sys.modules:
        spec = _bundled_spec(top)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules[top] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(top, None)
            raise
    return importlib.import_module(name)


def import_bundled(sources: Iterable[str], functions: Iterable[str]) -> None:
    """Import what is bundled among job functions, with what its sources ask with.

    Args:
        sources: Functions that are asked for jobs, ``MODULE:FUNCTION``.
        functions: Other functions.
    """
    asked = [each.partition(":")[0] for each in sources]
    modules = [*asked, *(each.partition(":")[0] for each in functions)]
    modules += [_ASKS_WITH[each] for each in asked if each in _ASKS_WITH]
    for module in filter(is_bundled, modules):
        # Whoever uses it says what is wrong with it.
        with contextlib.suppress(Exception):
            import_named(module)


def real_name(module: str) -> str:
    """What a module is called here: a bundled one may have to make way."""
    if is_bundled(module) and users_bundle() is not None:
        return f"{_STAND_IN}{module.removeprefix(BUNDLED)}"
    return module


def is_bundled(module: str) -> bool:
    """Whether a module of this name is among the bundled sources."""
    if module.partition(".")[0] != BUNDLED:
        return False
    path = HOME.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def users_bundle() -> str | None:
    """The user's package of the name that the bundled sources' has, if there is one."""
    spec = sys.modules[BUNDLED].__spec__ if BUNDLED in sys.modules else None
    if spec is None:
        spec = found_here(BUNDLED) or found_elsewhere(BUNDLED)
    if spec is None:
        return str(HOME / BUNDLED)  # nothing finds ours by this name
    where = (
        [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    )
    ours = HOME / BUNDLED / "__init__.py"
    is_ours = any(Path(str(each)).resolve() == ours.resolve() for each in where)
    return None if is_ours or not where else str(Path(str(where[0])))


def shadowed(module: str) -> str | None:
    """The user's file that a bundled module is taken for, if both are there."""
    theirs = users_bundle() if is_bundled(module) else None
    if theirs is None:
        return None
    base = Path(theirs).parent if theirs.endswith(".py") else Path(theirs)
    if base == HOME / BUNDLED:
        return None
    path = base.joinpath(*module.split(".")[1:])
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((str(each) for each in files if each.is_file()), None)


def spec_of(top: str) -> ModuleSpec | None:
    """Where the sources of a top module are, as `import_named` would import it."""
    if top == BUNDLED and users_bundle() is not None:
        return _bundled_spec(_STAND_IN)
    # Who asks is a library, to the guard: it would look elsewhere only.
    known = top in sys.modules or top in _installed
    if not known and (spec := found_here(top)) is not None:
        return spec
    try:
        return importlib.util.find_spec(top)
    except ModuleNotFoundError:
        return None


def _bundled_spec(name: str) -> ModuleSpec | None:
    home = HOME / BUNDLED
    return importlib.util.spec_from_file_location(
        name, home / "__init__.py", submodule_search_locations=[str(home)]
    )

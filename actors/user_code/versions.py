"""The version of the code behind a function, so that two machines can compare it."""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from actors.user_code.imports import HOME, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The modules that a source imports, wherever in it.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)|import[ \t]+([^#\n;]+))", re.MULTILINE
)


def versions_of(functions: Iterable[str]) -> dict[str, str]:
    """The version of the code behind each function, ``MODULE:FUNCTION``, now."""
    modules = {each: each.partition(":")[0] for each in functions}
    found = {each: version_of(each) for each in set(modules.values())}
    return {each: found[module] for each, module in modules.items()}


def differing(
    functions: Iterable[str], expected: Mapping[str, str], where: str
) -> str | None:
    """Say which functions have another version here than elsewhere, if any has.

    Args:
        functions: To compare.
        expected: The versions that they have elsewhere.
        where: That is, such as "at the leader".
    """
    wrong = [
        f"{name} is {version} here and {expected.get(name)} {where}"
        for name, version in versions_of(functions).items()
        if expected.get(name) != version
    ]
    return "another version of the code: " + "; ".join(wrong) if wrong else None


def changed(expected: Mapping[str, str]) -> str | None:
    """Say which functions' sources are no longer those of these versions, if any's.

    What is installed under which name is not looked at again: that takes long.
    """
    tops = {name: name.partition(":")[0].partition(".")[0] for name in expected}
    names = [
        name
        for name, version in expected.items()
        if not version.endswith(f"({_digest(tops[name])})")
    ]
    if not names:
        return None
    return (
        f"another version of the code: the source of {', '.join(names)} has changed "
        "since it was compared with the leader's"
    )


def version_of(module: str) -> str:
    """The version of the code that a module belongs to, as it is on the disk now.

    It is the version of what was installed, if it was, and a digest over the
    sources of the whole package, or of the module where it is in none, and of all
    that these import from beside them: a version says what somebody called it, the
    digest what it is.
    """
    top = module.partition(".")[0]
    return f"{_installed(top)} ({_digest(top)})"


@functools.cache
def _installed(top: str) -> str:
    # Late: it takes longer than all else that a verb like ``status`` needs.
    from importlib import metadata  # noqa: PLC0415

    names = metadata.packages_distributions().get(top, ())
    return metadata.version(names[0]) if names else "no version"


def _digest(top: str) -> str:
    spec = spec_of(top)
    if spec is None:
        return "not there"
    if spec.submodule_search_locations:
        places = [Path(each) for each in spec.submodule_search_locations]
    elif spec.origin and Path(spec.origin).is_file():
        places = [Path(spec.origin)]
    else:
        return spec.origin or "no source"
    digest = hashlib.sha256()
    for name, content in sorted(_sources(places).items()):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def _sources(places: Iterable[Path]) -> dict[str, bytes]:
    """Every source that belongs to these, by its name below their directory."""
    found: dict[str, bytes] = {}
    left = list(places)
    seen = set(left)
    while left:
        place = left.pop()
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for path in files:
            content = path.read_bytes()
            found[str(path.relative_to(place.parent))] = content
            if place.parent in _installed_places() or place.parent == HOME:
                continue  # what is beside it there is no part of it
            for beside in _beside(place.parent, content):
                if beside not in seen:
                    seen.add(beside)
                    left.append(beside)
    return found


def _beside(directory: Path, content: bytes) -> Iterator[Path]:
    for of, many in _IMPORT.findall(content.decode(errors="replace")):
        for each in [of] if of else many.split(","):
            top = each.strip().partition(" ")[0].partition(".")[0]
            if not top or top in sys.stdlib_module_names:
                continue
            for path in (directory / f"{top}.py", directory / top):
                if path.is_file() or (path / "__init__.py").is_file():
                    yield path


@functools.cache
def _installed_places() -> frozenset[Path]:
    paths = sysconfig.get_paths()
    return frozenset(Path(paths[each]) for each in ("purelib", "platlib"))

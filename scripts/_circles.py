"""Files that import one another in a circle; an import for types only counts."""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter

import grimp


def circle(*packages: str) -> list[str]:
    """The modules of one circle, each importing the next one; nothing if there is none.

    Args:
        packages: Their names; imports between them count as well.
    """
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        # Told in the order of "is needed by".
        return list(reversed(error.args[1]))
    return []


if __name__ == "__main__":
    if found := circle("actors", "domain"):
        print("imports go in a circle: " + " -> ".join(found), file=sys.stderr)
        sys.exit(1)

"""Run seeds until one breaks: prints how many it took, and which invariant."""

from __future__ import annotations

import sys

from actors.testing.invariants import Violation
from tests.simulation.pipeline import Pipeline


def hunt(seeds: int) -> str:
    for seed in range(seeds):
        try:
            Pipeline(seed).run()
        except Violation as violation:
            return f"{seed + 1} {violation.invariant}"
    return f"{seeds} "


if __name__ == "__main__":
    sys.stdout.write(f"{hunt(int(sys.argv[1]))}\n")

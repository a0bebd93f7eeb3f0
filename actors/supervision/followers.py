"""What the root does about processors whose source has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.demand.cancel_modes import Fate, Follow, follow
from actors.supervision.children import StageState

if TYPE_CHECKING:
    from actors.demand.cancel_modes import Fate
    from actors.supervision.root import RootActor


def source_ended(root: RootActor, kind: str, name: str, fate: Fate) -> None:
    """Let the processors that took from a stage do as their ``cancel`` says.

    Args:
        root: Their supervisor.
        kind: What stands for the stage in their ``from``.
        name: The stage's own name.
        fate: What was decided about the stage.
    """
    for taker in root.takers_of(kind):
        if taker.state is not StageState.RUNNING:
            continue  # one that leaves does so anyhow
        what = follow(taker.config.cancel_of(kind), fate)
        if what is Follow.STAY:
            continue
        root.log.warning(
            "stage.followed", stage=taker.name, source=name, what=what.value
        )
        if what is Follow.LEAVE:
            root.supervisor.detach(taker)
        else:
            root.supervisor.replace(taker)

"""What one of a processor's subscriptions may have of its own.

A processor says for all that it takes from how much it asks for, which jobs of a
broadcast it takes, and what becomes of it when a source ends. Here it says so for
one source; what is not given is as for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from actors.demand.consumer_subscription import Window

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Of one source; None for what is as for the other sources.

    Attributes:
        max_demand: Jobs of this source that it may have asked for and not worked
            off.
        min_demand: It asks this source again when it is down to this.
        cancel: What becomes of it when this source ends; see ``cancels``.
        selector: Says which jobs of this source's broadcast it takes.
    """

    max_demand: int | None = None
    min_demand: int | None = None
    cancel: str | None = None
    selector: str | None = None

    @property
    def window(self) -> Window | None:
        """How much to ask for, where that is its own.

        Raises:
            ValueError: It could never ask again.
        """
        if self.max_demand is None:
            return None
        return Window(max_demand=self.max_demand, min_demand=self.min_demand)


class Misfit(NamedTuple):
    """A key that cannot be as it is, and why."""

    key: str
    text: str


def misfits(
    options: SubscriptionOptions, *, is_manual: bool, batch_size: int, broadcasts: bool
) -> Iterator[Misfit]:
    """Find what does not fit the processor, or the source.

    Args:
        options: Of the subscription.
        is_manual: Whether the processor asks only when somebody says so.
        batch_size: How many jobs it takes at a time, at the most.
        broadcasts: Whether the source sends each job to every kind of processor.
    """
    most, least = options.max_demand, options.min_demand
    for key, value in (("max_demand", most), ("min_demand", least)):
        if is_manual and value is not None:
            yield Misfit(key, f"{key} does nothing where demand is manual")
    if least is not None and most is None:
        yield Misfit("min_demand", "min_demand goes with max_demand beside it")
    elif least is not None and most is not None and least >= most:
        text = f"max_demand must be above min_demand ({least}), got {most}"
        yield Misfit("max_demand", text)
    elif most is not None and most < batch_size:
        text = f"max_demand must be at least batch_size ({batch_size}), got {most}"
        yield Misfit("max_demand", text)
    if options.selector is not None and not broadcasts:
        text = "selector needs a source whose dispatcher is 'broadcast'"
        yield Misfit("selector", text)

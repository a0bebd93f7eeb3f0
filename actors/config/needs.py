"""Which functions of a user's a processor needs where it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.config.model import ProcessorConfig, SystemConfig


def functions_of(config: ProcessorConfig, system: SystemConfig) -> Iterator[str]:
    """Names, ``MODULE:FUNCTION``, that a processor of this kind loads."""
    yield config.process
    if config.asking is not None:
        yield config.asking
    if config.partition_by is not None and ":" in config.partition_by:
        yield config.partition_by
    if config.dispatcher == "broadcast":
        for each in system.processors:
            selector = each.selector_of(config.name)
            if selector is not None and config.name in each.sources:
                yield selector

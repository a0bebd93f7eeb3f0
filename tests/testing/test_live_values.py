"""What may be set while it runs, and what is refused."""

from __future__ import annotations

import pytest

from actors.testing import CommandRefusedError, Harness


@pytest.mark.parametrize("value", [4, "auto"])
def test_a_window_that_fills_no_batch_is_refused_as_at_the_start(
    value: int | str,
) -> None:
    kind = {"name": "last", "process": "x:all", "batch_size": 5, "max_demand": 5}
    config = {"fetcher": [{"name": "a", "fetch": "x:fetch"}], "processor": [kind]}
    functions = {"x:all": lambda jobs: jobs}

    with Harness(config=config, functions=functions) as pipeline:
        expected = rf"must be at least batch_size \(5\) .* 'last', got {value}"
        with pytest.raises(CommandRefusedError, match=expected):
            pipeline.command({"verb": "set", "values": {"max_demand": value}})
        pipeline.command({"verb": "set", "values": {"max_demand": 6}})

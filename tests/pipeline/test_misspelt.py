"""What is misspelt in a program says what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Fetcher, Pipeline, Processor
from actors.config.errors import ConfigError


@pytest.mark.parametrize("kind", [Fetcher, Processor])
def test_a_setting_of_a_stage_is_said_to_go_into_its_settings(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"settings=\{'max_demand': \.\.\.\}"):
        kind("domain.numbers:fetch", max_demand=4)


def test_a_misspelt_callback_says_which_one_was_meant() -> None:
    stages: Any = [Fetcher("domain.numbers:fetch")]
    misspelt: Any = {"on_dne": print}

    with pytest.raises(ConfigError, match="there is no on_dne; did you mean on_done"):
        Pipeline(stages, **misspelt)

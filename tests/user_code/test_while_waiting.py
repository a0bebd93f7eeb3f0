"""Sources that say what is to be done while they wait, in real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.system

Start = Callable[..., Any]
JOBS = "tests.user_code.waiting_jobs"


@pytest.mark.parametrize("way", ["never", "late"])
def test_a_job_is_sent_whatever_its_source_makes_of_what_is_left(
    way: str, start_system: Start, tmp_path: Path
) -> None:
    """The next call hangs: with what is left undone, or done in another thread."""
    config = tmp_path / "waiting.toml"
    config.write_text(
        f'[[fetcher]]\nname = "source"\nfetch = "{JOBS}:fetch"\n'
        f'options = {{ way = "{way}" }}\n'
        f'[[processor]]\nname = "runs"\nprocess = "{JOBS}:process"\n'
    )
    system = start_system("--config", str(config))

    done = system.wait_for("job.done")

    assert [each["result"] for each in done] == [1]
    assert len(system.program.all_of("job.fetched")) == 1

"""The standing hunt: odd functions in every role, over real processes.

One law: every job ends, with its own payload and its own result, nobody else is harmed,
and an orderly stop leaves nothing. See ``odd.py`` for how to add a function.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.user_code.hunt import JOBS, ODD_JOB
from tests.user_code.odd import CRASHES, RAISES, ROLES, TABLE

pytestmark = pytest.mark.system

Start = Callable[..., Any]

#: How many odd functions share a system: as many are harmed by one that harms others.
GROUP = 20
#: Roles that are hunted in each run of the tests; in the others by ``slow``.
QUICK = ("process", "fetch")
NEIGHBOURS = 20

_HERE = "tests.user_code.hunt"


def groups() -> Iterator[Any]:
    for role in ROLES:
        names = [name for name, row in TABLE.items() if role in row.roles]
        for number, first in enumerate(range(0, len(names), GROUP), start=1):
            group = tuple(names[first : first + GROUP])
            marks = [] if role in QUICK else [pytest.mark.slow]
            yield pytest.param(role, group, id=f"{role}-{number}", marks=marks)


def tables(role: str, name: str) -> dict[str, list[dict[str, Any]]]:
    """The stages for one odd function in one role."""
    odd = f"{_HERE}:{role}_{name}"
    fetcher = {
        "name": name,
        "fetch": f"{_HERE}:source",
        "options": {"name": name},
    }
    processor = {
        "name": f"p-{name}",
        "process": f"{_HERE}:plain",
        "from": [name],
        "count": 1,
    }
    fetchers: dict[str, dict[str, Any]] = {
        "fetch": {"options": {"name": name, "odd": "fetch"}},
        "settle": {"settle": f"{_HERE}:told"},
        "partition": {"dispatcher": "partition", "partition_by": odd},
        "selector": {"dispatcher": "broadcast"},
    }
    processors: dict[str, dict[str, Any]] = {
        "process": {"process": odd},
        "batch": {"process": odd, "batch_size": 1, "batch_timeout_s": 0.1},
        "selector": {"selector": odd},
        "demand": {"demand": odd},
    }
    chain: list[dict[str, Any]] = [processor | processors.get(role, {})]
    if role == "step":
        chain += [
            processor | {"name": f"s-{name}", "process": odd, "from": [f"p-{name}"]}
        ]
    return {"fetcher": [fetcher | fetchers.get(role, {})], "processor": chain}


def written(role: str, names: tuple[str, ...]) -> str:
    """The configuration of a system with these, and a neighbour who is plain."""
    neighbour: dict[str, list[dict[str, Any]]] = {
        "fetcher": [
            {
                "name": "neighbour",
                "fetch": f"{_HERE}:source",
                "options": {"name": "neighbour", "count": NEIGHBOURS},
            }
        ],
        "processor": [
            {
                "name": "p-neighbour",
                "process": f"{_HERE}:plain",
                "from": ["neighbour"],
                "count": 1,
            }
        ],
    }
    lines = ["every_s = 0.2", "lease_s = 10", "drain_timeout_s = 20"]
    # In its own roles one attempt shows how a job ends; elsewhere it is made up for.
    lines += ["retries = 1" if role in ("process", "batch") else "retries = 4"]
    for stages in (neighbour, *(tables(role, name) for name in names)):
        for word, each in stages.items():
            for table in each:
                lines += ["", f"[[{word}]]"]
                lines += [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {json.dumps(each)}" for key, each in value.items())
        return f"{{ {inner} }}"
    return json.dumps(value)


def ends(system: Any, name: str) -> dict[int, tuple[str, Any]]:
    """How the jobs of one source ended, with their results."""
    found = {
        each["job_id"]: ("quarantined", None)
        for each in system.all_of("job.quarantined", fetcher=name)
    }
    for each in system.all_of("job.done", fetcher=name):
        found[each["job_id"]] = ("done", each["result"])
    return found


def expected(role: str, name: str) -> dict[int, tuple[str, Any]]:
    jobs: dict[int, tuple[str, Any]] = {n: ("done", n) for n in range(1, JOBS + 1)}
    row = TABLE[name]
    quarantined = {
        **dict.fromkeys(("process", "batch"), (RAISES, CRASHES)),
        **dict.fromkeys(("partition", "selector"), (RAISES,)),
    }
    if row.end in quarantined.get(role, ()):
        jobs[ODD_JOB] = ("quarantined", None)
    elif name == "returns_one_dict":
        jobs[ODD_JOB] = ("done", {"id": ODD_JOB})
    return jobs


@pytest.mark.parametrize(("role", "names"), tuple(groups()))
def test_every_job_ends_and_nobody_else_is_harmed(
    role: str,
    names: tuple[str, ...],
    start_system: Start,
    eventually: Start,
    tmp_path: Path,
) -> None:
    config = tmp_path / "hunt.toml"
    config.write_text(written(role, names))
    system = start_system("--config", str(config))
    all_ends = {name: expected(role, name) for name in names}
    all_ends["neighbour"] = {n: ("done", n) for n in range(1, NEIGHBOURS + 1)}

    def ended() -> bool:
        return all(len(ends(system, n)) >= len(e) for n, e in all_ends.items())

    try:
        eventually(ended, "each job at its end", 60)
    finally:
        found = {name: ends(system, name) for name in all_ends}
        wrong = {n: f for n, f in found.items() if f != all_ends[n]}
        assert not wrong, {n: (f, "not", all_ends[n]) for n, f in wrong.items()}
    harmed = [
        each["stage"]
        for each in system.all_of("stage.exited")
        if each["stage"] in ("neighbour", "p-neighbour-1", "root")
    ]
    assert not harmed
    system.signal(signal.SIGTERM)
    assert system.wait() == 0
    # That no process is left, the fixture says.
    assert not list(Path(system.env["LOWTIDE_STATE_DIR"]).glob("*.sock"))
    again = start_system("--config", str(config), port=system.port, ready=False)
    again.wait_for("system.started")

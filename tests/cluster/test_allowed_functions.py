"""What a machine runs for a leader, and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cluster.allowed_functions import named_by, refused
from actors.config.model import (
    FetcherConfig,
    ProcessorConfig,
    SubscriptionOptions,
    SystemConfig,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    (place / "shop").mkdir(parents=True)
    (place / "billing.py").write_text(
        "from os import system\nimport subprocess\nrun = subprocess.run\n"
        "def process(job): return job\nclass Task: pass\n"
    )
    (place / "shop" / "__init__.py").touch()
    (place / "shop" / "orders.py").write_text("def process(job): return job\n")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend("")
    return place


@pytest.mark.parametrize(
    "name",
    [
        *(
            "os:system",
            "subprocess:run",
            "builtins:exec",
            "posix:system",
            "runpy:run_path",
        ),
        *("requests:get", "pytest:main", "thespian.actors:Actor", "nowhere:at_all"),
        *("actors.host.linux:kill", "domain.http:get", "number_server:main"),
        # What a module of ours has only imported is not ours.
        *("billing:system", "billing:run", "billing:subprocess", "billing:nothing"),
        *("billing.os:system", "shop.nothing:process", "json.tool:main"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_function_that_was_not_put_there_for_it_is_refused(name: str) -> None:
    assert refused([name], ()) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("billing:process", "billing:Task", "shop.orders:process"),
        "domain.numbers:process",
    ],
)
@pytest.mark.usefixtures("here")
def test_what_stands_in_the_working_directory_is_run(name: str) -> None:
    assert refused([name], ()) == []


@pytest.mark.usefixtures("here")
def test_where_functions_are_named_only_those_are_run() -> None:
    names = ["requests:get", "billing:process"]

    assert refused(names, ["requests:get"]) == ["billing:process"]
    assert refused(names, names) == []


def test_every_function_of_a_processor_is_looked_at() -> None:
    kind = ProcessorConfig(
        name="p",
        process="a:process",
        demand="a:ask",
        selector="a:select",
        partition_by="a:key",
        sources=("f",),
        subscriptions={"f": SubscriptionOptions(selector="a:one")},
    )
    system = SystemConfig(fetchers=(FetcherConfig(name="f"),), processors=(kind,))

    assert named_by(system, kind) >= {
        *("a:process", "a:ask", "a:key", "a:select", "a:one")
    }

"""The benchmark, as a person runs it, with counts so small that it says nothing.

No test asserts how fast anything is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import bench
import pytest
from benchmarks.auto import longest_wait
from benchmarks.jobs import Note
from benchmarks.model import Bench, Measurement, Numbers, Row, at_most, ratio_at_least
from benchmarks.peers.measure import MEASUREMENTS as PEERS
from benchmarks.peers.rows import BEST, BEST_BULK, BEST_SAFE, PEER_ROWS, best_peers
from benchmarks.profiling import WAITING, Profile, layer_of
from benchmarks.report import as_markdown, as_text
from benchmarks.rows import MEASUREMENTS, ROWS
from benchmarks.run import Result, Runs

ROOT = Path(__file__).parents[2]
TINY = ("--scale", "0.02", "--repeat", "1")


def run_bench(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "bench.py"), *words],
        capture_output=True,
        text=True,
        timeout=115,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.system
def test_a_figure_is_told_beside_its_reference_for_people_and_for_scripts(
    tmp_path: Path,
) -> None:
    words = ("--only", "throughput_auto_memory", "--directory", str(tmp_path))
    file, table = tmp_path / "figures.json", tmp_path / "figures.md"

    done = run_bench(*TINY, *words, "--json", str(file), "--markdown", str(table))

    assert done.returncode == 0, done.stderr
    [(name, figure)] = json.loads(file.read_text()).items()
    assert name == "throughput_auto_memory"
    assert figure["value"] > 0
    assert (figure["unit"], figure["reference_name"]) == ("jobs/s", "pipe")
    assert figure["ratio"] == figure["value"] / figure["reference"]
    assert figure["met"] is (figure["ratio"] >= 0.1)
    verdict = "met" if figure["met"] else "NOT MET"
    for text in (done.stdout, table.read_text()):
        [line] = [line for line in text.splitlines() if "auto, no journal" in line]
        assert verdict in line
    assert "[####" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {file.name, table.name}


@pytest.mark.slow
@pytest.mark.system
def test_idling_memory_and_start_are_measured_on_real_systems(tmp_path: Path) -> None:
    names = ("start", "in_flight", "pick_up", "memory_further_processor")
    words = [word for name in names for word in ("--only", name)]
    file = tmp_path / "figures.json"

    done = run_bench(*TINY, *words, "--json", str(file), "--directory", str(tmp_path))

    figures = json.loads(file.read_text())
    assert set(figures) == set(names), done.stderr
    assert [each.get("error") for each in figures.values()] == [None] * len(names)
    assert all(each["value"] > 0 for each in figures.values())
    assert figures["in_flight"]["value"] <= figures["in_flight"]["reference"] == 200


@pytest.mark.system
def test_a_peer_that_cannot_be_measured_is_named_as_skipped(tmp_path: Path) -> None:
    words = ("--peers", "--only", "peer_rq", "--json", str(tmp_path / "figures.json"))

    done = run_bench(*TINY, *words, PATH="", XDG_CACHE_HOME=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "RQ, 2 workers" in done.stdout
    assert "not measured: skipped: no redis-server" in done.stdout
    figure = json.loads((tmp_path / "figures.json").read_text())["peer_rq"]
    assert (figure["value"], figure["ratio"]) == (None, None)
    assert "skipped" in figure["error"]
    assert [each.name for each in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "speed"), "no figure 'speed', expected one of main_job_http, "),
        (("--repeat", "0"), "--repeat: "),
        (("--scale", "fast"), "--scale: "),
        (("--json", "/nowhere/at/all"), "--json: "),
        (("--directory", "/nowhere/at/all"), "--directory: "),
    ],
)
def test_what_cannot_be_asked_for_is_refused(words: tuple[str, ...], told: str) -> None:
    done = run_bench(*words)

    assert done.returncode == 2
    assert told in done.stderr


def test_a_figure_that_fails_is_told_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Bench) -> Numbers:
        raise OSError("the disk is gone")

    measurements = (
        Measurement("broken", ("broken",), fail),
        Measurement("sound", ("sound",), lambda _: {"sound": 4.0}),
    )
    rows = (
        Row("broken", "it breaks", "broken", "s", bar=at_most(1)),
        Row("sound", "it works", "sound", "s", bar=at_most(1)),
    )
    runs = Runs()

    runs.measure(Bench(tmp_path), measurements, repeat=3)

    results = runs.results(rows, measurements)
    assert [each.met for each in results] == [None, False]
    broken, sound = as_text(results).splitlines()[1:]
    assert "not measured: OSError: the disk is gone" in broken
    assert sound.split()[-2:] == ["NOT", "MET"]
    assert "6/6" in capsys.readouterr().err


def test_a_figure_is_the_median_of_its_runs_and_tells_of_those_that_failed(
    tmp_path: Path,
) -> None:
    values = iter([9.0, None, 1.0, 2.0])

    def measure(_: Bench) -> Numbers:
        if (value := next(values)) is None:
            raise OSError("once")
        return {"figure": value, "reference": 4.0}

    measurement = Measurement("m", ("figure", "reference"), measure)
    row = Row("row", "a row", "figure", "s", "reference", ratio_at_least(0.5))
    runs = Runs()

    runs.measure(Bench(tmp_path), [measurement], repeat=4)

    [result] = runs.results([row], [measurement])
    assert (result.value, result.ratio, result.met) == (2.0, 0.5, True)
    assert result.error is not None
    assert "OSError: once" in result.error


def test_what_takes_long_is_measured_less_often(tmp_path: Path) -> None:
    calls: list[str] = []

    def measurement(name: str, most: int | None) -> Measurement:
        def measure(_: Bench) -> Numbers:
            calls.append(name)
            return {name: 1.0}

        return Measurement(name, (name,), measure, most=most)

    measurements = [measurement("long", 1), measurement("short", None)]

    Runs().measure(Bench(tmp_path), measurements, repeat=3)

    assert calls == ["long", "short", "short", "short"]


def test_every_row_has_a_name_of_its_own_and_numbers_that_are_measured() -> None:
    rows, measurements = (*ROWS, *PEER_ROWS), (*MEASUREMENTS, *PEERS)

    given = {name for each in measurements for name in each.gives}
    given |= {BEST, BEST_SAFE, BEST_BULK}
    needed = {name for row in rows for name in row.numbers}

    assert max(Counter(row.name for row in rows).values()) == 1
    assert needed <= given


def test_the_best_peer_is_the_best_of_those_that_were_measured() -> None:
    numbers = {
        "peer_huey": [10.0, 30.0, 20.0],
        "peer_rq": [1.0],
        "peer_huey_synced": [19.0],
        "peer_dramatiq_synced": [7.0],
    }

    assert best_peers(numbers) == {BEST: [20.0], BEST_SAFE: [7.0]}
    assert best_peers({}) == {}


def test_the_docs_have_a_table_of_all_queues_with_what_they_promise() -> None:
    ours = Row("ours", "auto", "ours", "jobs/s", note="at least once")
    peer = Row(
        "peer_q", "A queue: all the way", "peer_q", "jobs/s", note="at most once"
    )
    synced = replace(peer, name="peer_q_synced", what="A queue: synced")
    results = [Result(ours, 2000.0), Result(peer, 1234.5)]
    results.append(Result(synced, error="not measured: it hangs"))

    *_, first, second = as_markdown(results, "2 cores").splitlines()

    assert first == "| **lowtide**: auto |  | 2,000 |  | at least once |"
    told = "at most once; not measured: it hangs"
    assert second == f"| A queue | 1,234 | - |  | {told} |"


def test_a_job_is_kept_waiting_while_it_is_not_begun_and_another_one_is_idle() -> None:
    # Fetched, begun, ended: the second processor is idle from 1 to 3, and a job
    # that was fetched at 1.5 begins at the first one at 2.25.
    first = [Note(1, 0.0, 0.0, 2.0), Note(3, 1.5, 2.25, 3.0)]
    second = [Note(2, 0.0, 0.5, 1.0), Note(4, 3.0, 3.0, 4.0)]

    assert longest_wait([first, second]) == 0.75


def test_a_sample_counts_for_the_innermost_layer_and_waiting_for_itself() -> None:
    receive = "FetcherActor.receive (/x/actors/fetcher/actor.py:10)"
    dumps = "dumps (/usr/lib/python3/json/__init__.py:2)"
    select = "EpollSelector.select (/usr/lib/python3/selectors.py:468)"
    profile = Profile()

    profile.add(f"thread (1): MainThread;{receive};{dumps} 3")
    profile.add(f"thread (1): MainThread;{receive};{select} 2")

    assert layer_of([dumps]) == "the interpreter"
    assert dict(profile.layers["MainThread"]) == {"actors": 3, WAITING: 2}
    assert dict(profile.functions) == {"dumps (json/__init__.py)": 3}


def test_the_list_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--list"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [row.name for row in ROWS]

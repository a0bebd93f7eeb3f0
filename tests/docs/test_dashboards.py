"""The Grafana dashboard and the alert rules, against the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from actors.host.ports import free_port
from actors.testing.processes import System, wait_until
from tests.docs.blocks import ROOT

DEPLOY = ROOT / "docs" / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
QUERIES = [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
ALERTS = (DEPLOY / "alerts.yml").read_text()
PROMETHEUS = shutil.which("prometheus")
#: The first one is bad.
JOBS = """
jobs = iter([{"id": n} for n in range(1_000)])

def fetch():
    return next(jobs, None)

def process(job):
    if job["id"] == 0:
        raise ValueError("no")
    return job["id"]
"""


def test_every_metric_that_is_shown_is_there() -> None:
    documented = set(
        re.findall(
            r"^\| `(lowtide_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
        )
    )
    named = set(re.findall(r"lowtide_\w+", " ".join([*QUERIES, ALERTS])))

    assert {each.removesuffix("_bucket") for each in named} <= documented


def test_panels_have_ids_and_places_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    places = {(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}

    assert len(panels) == len(places) == len({each["id"] for each in panels})


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool is here")
def test_promtool_takes_the_files() -> None:
    for words in (("rules", "alerts.yml"), ("config", "prometheus.yml")):
        done = subprocess.run(
            ["promtool", "check", *words],
            cwd=DEPLOY,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.skipif(
    PROMETHEUS is None, reason="no Prometheus is here (apt: prometheus)"
)
def test_a_real_prometheus_answers_every_query_and_alerts(
    tmp_path: Path, env: dict[str, str], start_system: Callable[..., System]
) -> None:
    pytest.importorskip("prometheus_client")
    (tmp_path / "watched.py").write_text(JOBS)
    env["PYTHONPATH"] += f":{tmp_path}"
    functions = ("--fetch", "watched:fetch", "--process", "watched:process")
    web, port = free_port(), free_port()
    start_system(
        *(*functions, "--retries", "1", "--every", "0.2", "--web", str(web)),
        *("--journal", str(tmp_path / "watched.db")),
    )
    config = (DEPLOY / "prometheus.yml").read_text()
    config = config.replace("8080", str(web)).replace("15s", "1s")
    config += "global: {evaluation_interval: 1s}\n"
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    prometheus = subprocess.Popen(
        [
            str(PROMETHEUS),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    api = f"http://127.0.0.1:{port}/api/v1"

    def ask(query: str) -> list[Any]:
        answer = requests.get(f"{api}/query", params={"query": query}, timeout=10)
        body = answer.json()
        assert body["status"] == "success", (query, body)
        result: list[Any] = body["data"]["result"]
        return result

    def is_seen() -> bool:
        try:
            # Two scrapes at least, since a rate is between two.
            return bool(ask("rate(lowtide_items_fetched_total[1m])"))
        except (requests.ConnectionError, ValueError):
            return False  # it is not there yet, or not ready

    def states() -> dict[str, str]:
        groups = requests.get(f"{api}/rules", timeout=10).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert all(rule["health"] != "err" for rule in rules), rules
        return {rule["name"]: rule["state"] for rule in rules}

    try:
        wait_until(is_seen, "metrics in Prometheus")
        empty = []
        for query in QUERIES:
            plain = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
            if not ask(plain):
                empty.append(plain)
        assert empty == []
        wait_until(lambda: states()["LowtideQuarantine"] == "pending", "the alert")
        assert states()["LowtideAbsent"] == "inactive"
    finally:
        prometheus.kill()
        prometheus.wait()

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from domain.errors import BadStatusError, BadUrlError
from domain.leases import fetch, settle
from tests.domain.conftest import ScriptedServer

Answering = Callable[[bytes], ScriptedServer]


@pytest.fixture
def lender() -> Iterator[str]:
    """Run the demo API, lending two numbers."""
    root = Path(__file__).parents[2]
    options = ["--port", "0", "--every", "0", "--preload", "2", "--mode", "lease"]
    command = [sys.executable, str(root / "number_server.py"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def account(url: str) -> dict[str, Any]:
    told: dict[str, Any] = requests.get(f"{url}/account", timeout=5).json()
    return told


def test_a_job_is_claimed_and_acknowledged(lender: str) -> None:
    job = fetch(lender)
    assert job is not None

    settle(job, {"state": "done"}, lender)
    settle(job, {"state": "done"}, lender)

    told = account(lender)
    assert (job["id"], told["acked"], told["leased"]) == (1, [1], [])


def test_none_waits_when_all_are_lent(lender: str) -> None:
    jobs = [fetch(lender), fetch(lender), fetch(lender, wait_s=0.1)]

    assert [job and job["id"] for job in jobs] == [1, 2, None]


def test_what_was_never_lent_cannot_be_acknowledged_ever(lender: str) -> None:
    with pytest.raises(BadStatusError) as caught:
        settle({"id": 7}, {"state": "done"}, lender)

    assert (caught.value.status, caught.value.permanent) == (404, True)


def test_a_server_that_fails_may_be_told_again(answer: Answering) -> None:
    server = answer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(BadStatusError) as caught:
        settle({"id": 7}, {"state": "done"}, server.url)

    assert (caught.value.status, caught.value.permanent) == (503, False)


@pytest.mark.parametrize("job_id", ["..", ".", ""])
def test_an_id_does_not_lead_to_another_place(answer: Answering, job_id: str) -> None:
    server = answer(b"HTTP/1.1 204 No Content\r\n\r\n")

    with pytest.raises(BadUrlError, match="would lead to another place") as caught:
        settle({"id": job_id}, {"state": "done"}, server.url)

    assert caught.value.permanent
    assert server.requests == []


def test_an_id_is_quoted(answer: Answering) -> None:
    server = answer(b"HTTP/1.1 204 No Content\r\n\r\n")

    settle({"id": "a/../b?c"}, {"state": "done"}, server.url)

    assert server.requests[0].startswith(b"POST /ack/a%2F..%2Fb%3Fc HTTP/1.1\r\n")

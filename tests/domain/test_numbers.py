from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import (
    BadJobError,
    BadJsonError,
    BadNumberError,
    BadStatusError,
    BadUrlError,
)
from domain.numbers import fetch, process

if TYPE_CHECKING:
    from tests.domain.conftest import ScriptedServer

Answering = Callable[[bytes], "ScriptedServer"]

JOB = {"id": 17, "number": 1764}


def answered(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_jobs_are_fetched_until_none_waits(number_server: str) -> None:
    jobs = [fetch(number_server) for _ in range(4)]

    assert [job and job["id"] for job in jobs] == [1, 2, 3, None]
    assert all(math.isfinite(process(job)) for job in jobs[:3])


def test_a_given_session_is_used(number_server: str) -> None:
    with requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        job = fetch(number_server, session)

    assert job is not None
    assert job["id"] == 1


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("", "/number"),
        ("/", "/number"),
        ("/api/", "/api/number"),
        ("/api?key=1#part", "/api/number?key=1"),
    ],
)
def test_the_number_is_asked_for_below_the_base(
    answer: Answering, base: str, target: str
) -> None:
    server = answer(answered(b'{"id": 17, "number": 1764}'))

    job = fetch(server.url + base)

    assert job == JOB
    assert server.requests[0].split()[1] == target.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"17",
        b"null",
        b"{}",
        b'{"id": 17}',
        b'{"number": 4}',
        b'{"id": null, "number": 4}',
        b'{"id": true, "number": 4}',
        b'{"id": 1.5, "number": 4}',
    ],
)
def test_an_answer_that_is_no_job_is_refused_and_kept(
    answer: Answering, body: bytes
) -> None:
    server = answer(answered(body))

    with pytest.raises(BadJobError, match="expected an") as caught:
        fetch(server.url)

    assert caught.value.body == body


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": 1, "number": NaN}'])
def test_an_answer_that_is_not_json_is_refused_and_kept(
    answer: Answering, body: bytes
) -> None:
    server = answer(answered(body))

    with pytest.raises(BadJsonError) as caught:
        fetch(server.url)

    assert caught.value.body == body


@pytest.mark.parametrize("status", [b"202 Wait", b"206 Part", b"404 No", b"500 Oh"])
def test_only_two_statuses_are_answers(answer: Answering, status: bytes) -> None:
    server = answer(answered(b"body", status))

    expected = "status 200 or 204" if status.startswith(b"2") else "a 2xx status"
    with pytest.raises(BadStatusError, match=f"expected {expected}, got") as caught:
        fetch(server.url)

    assert (caught.value.status, caught.value.body) == (int(status[:3]), b"body")


def test_a_bad_base_is_refused() -> None:
    with pytest.raises(BadUrlError, match="got one with the scheme 'ftp'"):
        fetch("ftp://user:secret@host")


@pytest.mark.parametrize(
    ("number", "root"), [(1764, 42.0), (0, 0.0), (2.25, 1.5), (10**300, 1e150)]
)
def test_the_root_of_a_number_is_a_float(number: float, root: float) -> None:
    result = process({"id": 17, "number": number})

    assert (result, type(result)) == (root, float)


@given(st.integers(0, 10**300) | st.floats(0, allow_infinity=False))
def test_every_number_that_may_come_has_its_root(number: float) -> None:
    root = process({"id": 1, "number": number})

    assert math.isclose(root * root, number, rel_tol=1e-9, abs_tol=1e-300)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (None, "expected a job as dict, got NoneType None"),
        ([4], r"expected a job as dict, got list \[4\]"),
        ({}, r"expected a job with a number, got dict \{\}"),
        ({"id": 1, "number": None}, "job 1: expected an int or float, got NoneType"),
        ({"id": 1, "number": True}, "got bool True"),
        ({"id": "a", "number": "4"}, "job 'a': expected an int or float, got str '4'"),
        ({"number": "4" * 10**6}, "job None: .* got str '444.*444'"),
        ({"number": math.nan}, "from 0 to the largest float, got float nan"),
        ({"number": math.inf}, "got float inf"),
        ({"number": -math.inf}, "got float -inf"),
        ({"number": -1}, "got int -1"),
        ({"number": -1e-9}, "got float -1e-09"),
        ({"number": 10**400}, r"got int 1000.*000"),
        ({"id": 10**5000, "number": 10**5000}, "got int of too many digits"),
        ({"number": -(10**400)}, "got int -1000"),
    ],
)
def test_a_job_without_a_usable_number_is_refused_for_good(
    job: object, reason: str
) -> None:
    with pytest.raises(BadNumberError, match=reason) as caught:
        process(job)

    assert caught.value.permanent
    assert len(str(caught.value)) < 200


@given(st.none() | st.text() | st.floats() | st.integers() | st.lists(st.integers()))
def test_any_payload_has_a_root_or_a_named_error(payload: object) -> None:
    for job in (payload, {"id": payload, "number": payload}):
        try:
            result = process(job)
        except BadNumberError:
            continue
        assert math.isfinite(result)


def test_the_domain_does_not_know_that_actors_exist(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import domain.numbers;"
        "print(*{'actors', 'thespian', 'structlog'} & sys.modules.keys())"
    )
    root = str(Path(__file__).parents[2])

    done = subprocess.run(
        [sys.executable, "-c", program, root],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "\n"


def test_who_only_takes_roots_loads_nothing_that_asks(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from domain.numbers import process; root = process({'number': 1764});"
        "print(root, *{'requests', 'domain.http'} & sys.modules.keys())"
    )
    root = str(Path(__file__).parents[2])

    done = subprocess.run(
        [sys.executable, "-c", program, root],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "42.0\n"


def test_the_domain_passes_its_own_tests_where_there_are_no_actors(
    tmp_path: Path,
) -> None:
    root = Path(__file__).parents[2]
    for name in ("domain", "tests/domain", "tests/conftest.py", "number_server.py"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (root / name).is_dir() else shutil.copy
        copy(root / name, target)
    shutil.copy(root / "pyproject.toml", tmp_path)
    # As good as deleted: this project may be installed where this runs.
    (tmp_path / "actors.py").write_text("raise ImportError('there are no actors')")
    some = ["test_numbers.py", "test_strict_json.py", "-k", "not there_are_no_actors"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some],
        cwd=tmp_path / "tests" / "domain",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout

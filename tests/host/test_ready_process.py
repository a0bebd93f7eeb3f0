"""What keeps a program of ours from serving is told, and nothing hides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from actors.host import ready_process
from actors.host.ready_process import NotServingError, url_of

Begin = Callable[[str], "Popen[bytes]"]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Start a program of this text, where ours are."""
    monkeypatch.setattr(ready_process, "_HOME", str(tmp_path))
    monkeypatch.setattr(ready_process, "SAYS_WITHIN_S", 1.0)
    programs: list[Popen[bytes]] = []

    def begin(text: str) -> Popen[bytes]:
        (tmp_path / "a_program.py").write_text(text)
        programs.append(ready_process.start("a_program", ["word"]))
        return programs[-1]

    yield begin
    for each in programs:
        each.kill()
        each.wait()
        assert each.stdout is not None
        each.stdout.close()


def test_one_says_where_it_serves(begin: Begin) -> None:
    program = begin("import sys; print('serving at http://' + sys.argv[1], flush=True)")

    assert url_of(program) == "http://word"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "import no_such_thing",
            "ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("print('error: Address already in use')", "Address already in use"),
        ("raise SystemExit", "its process did not start"),
        ("import time; time.sleep(600)", "its process did not start"),
    ],
)
def test_one_that_does_not_serve_says_why(text: str, why: str, begin: Begin) -> None:
    program = begin(text)

    with pytest.raises(NotServingError) as caught:
        url_of(program)

    assert str(caught.value) == why


def test_one_that_works_is_waited_for(begin: Begin) -> None:
    program = begin(
        "import time\n"
        "end = time.process_time() + 2\n"
        "while time.process_time() < end: pass\n"
        "print('serving at http://late', flush=True)\n"
    )

    assert url_of(program) == "http://late"

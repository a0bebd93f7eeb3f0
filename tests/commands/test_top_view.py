"""What ``top`` draws, without a system: it fits whatever terminal there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from actors.commands.terminal import progress_in_words
from actors.commands.top_view import KEYS, View

if TYPE_CHECKING:
    from actors.status.model import SystemStatus


def fetcher(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": "running",
        "waiting_for": "demand",
        "buffered": 1000,
        "demand": 0,
        "in_flight": 14,
        "oldest_job_age_s": 93.7,
        "last_poll_age_s": 0.5,
        "next_poll_s": 1.5,
        "restarts": 0,
    }


def processor(number: int) -> dict[str, Any]:
    return {
        "name": f"processor-{number}",
        "pid": 31000 + number,
        "state": "backoff" if number == 12 else "running",
        "waiting_for": None,
        "in_flight": 1,
        "demand": 0,
        "done": 1234,
        "failed": 5,
        "restarts": 1,
    }


def view_of(*, fetchers: int, processors: int, quarantined: int) -> View:
    view = View(4570, quarantined=[job(each) for each in range(quarantined)])
    counts = {"fetched": 16, "done": 9, "buffered": 7}
    event = {"at": "2026-11-25T02:31:24Z", "level": "info", "event": "job.done"}
    status = {
        "state": "running",
        "accounting": counts,
        "why": "all 14 processors busy",
        "fetchers": [fetcher(f"numbers-{i}") for i in range(fetchers)],
        "processors": [processor(i) for i in range(processors)],
        "events": [event | {"text": f"\x1b[31mjob_id={i}"} for i in range(20)],
    }
    view.take(cast("SystemStatus", status), 100.0)
    return view


def job(number: int) -> dict[str, Any]:
    return {
        "id": f"raw:{number:040x}",
        "fetcher": "numbers-0",
        "attempt": 5,
        "error": "ValueError: \x1b]0;gotcha\x07 " + "x" * 300,
    }


def drawn(view: View, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, color_system=None, record=True)
    with console.capture() as captured:
        console.print(view.draw(width, height))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
@pytest.mark.parametrize(
    ("fetchers", "processors", "quarantined"),
    [(1, 2, 0), (1, 14, 7), (12, 40, 0), (6, 20, 200)],
)
def test_all_of_it_fits_with_whole_headings_and_the_keys(
    width: int, height: int, fetchers: int, processors: int, quarantined: int
) -> None:
    view = view_of(fetchers=fetchers, processors=processors, quarantined=quarantined)

    lines = drawn(view, width, height)

    headings = [line for line in lines if line.startswith(("fetcher", "processor "))]
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert len(headings) == 2
    assert not any("…" in line for line in headings)
    assert lines[-1].startswith(KEYS)
    assert "…" not in lines[-1]
    assert sum("job.done" in line for line in lines) >= 3


def test_stages_that_have_no_room_are_counted() -> None:
    lines = drawn(view_of(fetchers=1, processors=14, quarantined=0), 80, 24)

    shown = [line.split()[0] for line in lines if line.startswith("processor-")]
    assert shown == [f"processor-{i}" for i in range(len(shown))]
    [rest] = [line for line in lines if " more: " in line]
    assert rest.startswith(f"and {14 - len(shown)} more: ")
    assert "1 backoff" in rest


def test_the_chosen_job_is_among_those_that_are_shown() -> None:
    view = view_of(fetchers=1, processors=2, quarantined=30)

    for _ in range(30):
        view.choose(1)
        [marked] = [line for line in drawn(view, 80, 24) if line.startswith("> ")]
        assert str(view.quarantined[view.chosen]["id"])[:20] in marked


def test_no_escape_sequence_reaches_the_terminal() -> None:
    text = "\n".join(drawn(view_of(fetchers=1, processors=2, quarantined=3), 120, 30))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"\x1b]0;gotcha\x07" in text


@pytest.mark.parametrize("width", [80, 200])
def test_how_far_jobs_are_is_shown_where_one_says_so(width: int) -> None:
    view = view_of(fetchers=1, processors=2, quarantined=0)
    assert "progress" not in "\n".join(drawn(view, width, 30))
    line = {"fraction": 0.999, "text": "page \x1b[31m9" + " of 10" * 40}
    view.status["processors"][1]["progress"] = cast("Any", [line, line])

    lines = drawn(view, width, 30)

    [heading] = [each for each in lines if each.startswith("processor ")]
    [row] = [each for each in lines if each.startswith("processor-1")]
    assert "progress" in heading
    assert "99% page" in row
    assert max(map(len, lines)) <= width
    assert "\x1b" not in row


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ([], None),
        (None, None),
        ([{"fraction": None, "text": ""}], "?"),
        ([{"fraction": 0.4, "text": ""}], "40%"),
        ([{"fraction": None, "text": "page 4"}], "page 4"),
        ([{"fraction": 1.0, "text": "page 4"}] * 3, "100% page 4 (+2)"),
    ],
)
def test_how_far_jobs_are_in_words(progress: Any, words: str | None) -> None:
    assert progress_in_words({"progress": progress}) == words


def test_rates_are_over_the_last_half_minute() -> None:
    view = view_of(fetchers=1, processors=2, quarantined=0)
    for second in range(1, 61):
        counts = {"fetched": 16 + second, "done": 9 + 2 * second}
        status = cast("SystemStatus", view.status | {"accounting": counts})
        view.take(status, 100.0 + second)

    [pace] = [line for line in drawn(view, 80, 24) if "a minute" in line]

    assert pace == "60 fetched and 120 done a minute, over 30 s"

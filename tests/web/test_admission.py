"""Who is served where many ask, and how soon a token may be guessed again."""

from __future__ import annotations

import pytest

from actors.web.admission import (
    ANSWERED_WITHIN_S,
    ASKED_WITHIN_S,
    FREE_GUESSES,
    LONGEST_WAIT_S,
    MOST_AT_ONCE,
    MOST_SILENT,
    Admission,
    Guesses,
    kind_of,
)


def test_who_has_not_asked_yet_makes_room() -> None:
    places = Admission()
    for each in range(MOST_SILENT):
        assert places.comes(each, 0.0) is None
    assert places.asks(0, "page", 0.0)

    assert places.comes("one more", 1.0) is None
    assert places.comes("another", 1.0) == 1


@pytest.mark.parametrize("kind", ["page", "live", "action"])
def test_no_number_of_other_requests_keeps_out_a_probe(kind: str) -> None:
    places = Admission()
    for each in range(MOST_AT_ONCE[kind]):
        places.comes(each, 0.0)
        assert places.asks(each, kind, 0.0)
    places.comes("more", 0.0)
    places.comes("probe", 0.0)

    assert not places.asks("more", kind, 0.0)
    assert places.asks("probe", "probe", 0.0)
    places.goes(0)
    assert places.asks("more", kind, 0.0)


def test_a_whole_request_has_its_time() -> None:
    places = Admission()
    for each in ("silent", "page", "live", "action"):
        places.comes(each, 0.0)
    for each in ("page", "live", "action"):
        places.asks(each, each, 0.0)

    assert places.late(ASKED_WITHIN_S - 0.1) == []
    assert places.late(ASKED_WITHIN_S) == ["silent"]
    assert places.late(ANSWERED_WITHIN_S) == ["silent", "page"]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/healthz", "probe"),
        ("HEAD", "/readyz", "probe"),
        ("GET", "/metrics", "probe"),
        ("GET", "/", "page"),
        ("GET", "/jobs.json", "page"),
        ("GET", "/events", "live"),
        ("POST", "/act", "action"),
    ],
)
def test_what_is_asked_for_says_whose_place_it_takes(
    method: str, path: str, kind: str
) -> None:
    assert kind_of(method, path) == kind


def test_guesses_are_looked_at_ever_more_rarely() -> None:
    guesses, waits = Guesses(), []
    for _ in range(12):
        guesses.wrong(100.0)
        waits.append(guesses.left_s(100.0))

    assert waits[: FREE_GUESSES - 1] == [0.0] * (FREE_GUESSES - 1)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    guesses.right()
    guesses.wrong(500.0)
    assert guesses.left_s(500.0) == 0.0

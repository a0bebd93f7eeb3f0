"""Who is served where many ask, and how soon a token may be guessed again."""

from __future__ import annotations

import pytest

from actors.web.admission import (
    ANSWERED_WITHIN_S,
    ASKED_WITHIN_S,
    FORGOTTEN_S,
    FREE_GUESSES,
    FREE_OVERALL,
    LONGEST_WAIT_S,
    MOST_ADDRESSES,
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


def test_wrong_tokens_of_an_address_are_answered_ever_later() -> None:
    guesses = Guesses()

    waits = [guesses.wrong("127.0.0.1", 1000.0) for _ in range(FREE_OVERALL - 1)]

    assert waits[:FREE_GUESSES] == [0.0] * FREE_GUESSES
    assert waits == sorted(waits)
    assert 0 < waits[FREE_GUESSES] <= 1
    assert waits[-1] == LONGEST_WAIT_S
    assert guesses.wrong("127.0.0.2", 1000.0) == 0.0
    assert guesses.wrong("127.0.0.1", 1000.0 + FORGOTTEN_S) == 0.0


def test_wrong_tokens_of_ever_new_addresses_are_slowed_and_take_no_memory() -> None:
    guesses = Guesses()

    waits = [guesses.wrong(f"127.0.{n >> 8}.{n & 255}", 1000.0) for n in range(5000)]

    assert waits[:FREE_OVERALL] == [0.0] * FREE_OVERALL
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_S
    assert len(guesses) == MOST_ADDRESSES


def test_wrong_tokens_are_told_once_while_answers_are_held() -> None:
    guesses = Guesses()

    assert [guesses.to_tell(8.0, now) for now in (100.0, 101.0, 107.9)] == [
        1,
        None,
        None,
    ]
    assert guesses.to_tell(8.0, 108.0) == 3

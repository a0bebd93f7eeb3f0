from __future__ import annotations

from actors.demand.seen_ids import SeenIds


def test_an_id_is_known_once_it_was_added() -> None:
    seen = SeenIds()
    before = seen.has("a", 0.0)

    seen.add("a", 0.0)

    assert (before, seen.has("a", 1.0), seen.has("b", 1.0)) == (False, True, False)


def test_an_id_is_forgotten_after_the_window() -> None:
    seen = SeenIds(window_s=10.0)

    seen.add("a", 100.0)

    assert [seen.has("a", at) for at in (109.9, 110.0)] == [True, False]


def test_an_id_that_comes_again_after_the_window_is_known_for_another() -> None:
    seen = SeenIds(window_s=10.0)
    seen.add("a", 100.0)

    seen.add("a", 115.0)

    assert seen.has("a", 120.0)


def test_the_oldest_id_makes_room_for_a_new_one() -> None:
    seen = SeenIds(capacity=2)
    for job_id in ("a", "b", "c"):
        seen.add(job_id, 0.0)

    assert [seen.has(job_id, 0.0) for job_id in ("a", "b", "c")] == [False, True, True]


def test_an_id_that_came_again_is_not_the_oldest() -> None:
    seen = SeenIds(capacity=2)
    for job_id in ("a", "b", "a", "c"):
        seen.add(job_id, 0.0)

    assert [seen.has(job_id, 0.0) for job_id in ("a", "b", "c")] == [True, False, True]


def test_a_number_and_its_text_are_two_ids() -> None:
    seen = SeenIds()

    seen.add(1, 0.0)

    assert (seen.has(1, 0.0), seen.has("1", 0.0)) == (True, False)

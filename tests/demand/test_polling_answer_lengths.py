from __future__ import annotations

from actors.demand.polling import FIRST_DOUBT, MOST_DOUBT, Lengths


def poll(lengths: Lengths, waiting: int, page: int) -> tuple[int, int]:
    """Ask a source that has so many; returns the requests, and what is left."""
    lengths.begin()
    requests = 0
    while True:
        requests += 1
        taken = min(waiting, page)
        waiting -= taken
        if not taken:
            lengths.nothing()
            return requests, waiting
        if not lengths.may_have_more(taken):
            return requests, waiting


def test_a_source_that_nobody_knows_is_asked_until_nothing_comes() -> None:
    assert poll(Lengths(), 25, 10) == (3, 0)


def test_an_answer_as_long_as_one_that_was_the_last_is_taken_for_the_last() -> None:
    lengths = Lengths()
    poll(lengths, 3, 10)

    assert [poll(lengths, each, 10) for each in (3, 2, 3)] == [(1, 0)] * 3


def test_a_longer_one_may_have_more_behind_it() -> None:
    lengths = Lengths()
    poll(lengths, 3, 10)

    assert poll(lengths, 34, 10) == (4, 0)
    assert poll(lengths, 10, 10) == (2, 0)


def test_full_pages_are_gone_on_from_though_one_was_the_last() -> None:
    lengths = Lengths()
    poll(lengths, 20, 10)
    poll(lengths, 10, 10)

    assert poll(lengths, 30, 10) == (4, 0)


def test_where_the_length_says_nothing_it_is_doubted_and_then_known() -> None:
    lengths = Lengths()
    waiting = poll(lengths, 2, 2)[1]
    waiting, polls = 50, 0
    while waiting:
        waiting = poll(lengths, waiting, 2)[1]
        polls += 1

    assert polls == FIRST_DOUBT
    assert poll(lengths, 50, 2) == (26, 0)


def test_one_job_may_always_have_more_behind_it() -> None:
    lengths = Lengths()

    assert [poll(lengths, 1, 1) for _ in range(3)] == [(2, 0)] * 3
    assert poll(lengths, 50, 1) == (51, 0)


def test_a_doubt_that_was_idle_comes_less_often() -> None:
    lengths = Lengths()
    poll(lengths, 2, 10)

    requests = sum(poll(lengths, 2, 10)[0] for _ in range(1000))

    assert 1000 < requests <= 1000 + 5 + 1000 // MOST_DOUBT


def test_a_poll_that_finds_nothing_ends_every_doubt() -> None:
    lengths = Lengths()
    poll(lengths, 2, 10)

    requests = [poll(lengths, each % 2 * 2, 10)[0] for each in range(100)]

    assert requests == [1] * 100

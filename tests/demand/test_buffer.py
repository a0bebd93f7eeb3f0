from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.demand.buffer import Buffer


def filled(size: int, *jobs: int) -> Buffer[int]:
    buffer: Buffer[int] = Buffer(size)
    buffer.store(jobs)
    return buffer


def test_jobs_leave_in_the_order_in_which_they_came() -> None:
    buffer = filled(9, 1, 2)
    buffer.store([3])

    taken = buffer.take(2), buffer.take(2), buffer.take(2)

    assert taken == ((1, 2), (3,), ())


def test_the_oldest_job_is_looked_at_without_being_taken() -> None:
    buffer = filled(9, 1, 2)

    assert (buffer.oldest, len(buffer)) == (1, 2)
    assert Buffer[int](9).oldest is None


def test_jobs_that_come_back_are_the_next_to_leave() -> None:
    buffer = filled(9, 1, 2, 3)
    returned = buffer.take(2)

    buffer.put_back(returned)

    assert buffer.take(9) == (1, 2, 3)


def test_jobs_that_come_back_fit_into_a_full_buffer() -> None:
    buffer = filled(2, 1, 2)
    buffer.take(1)
    buffer.store([3])

    buffer.put_back([1])

    assert (buffer.room, buffer.take(9)) == (0, (1, 2, 3))


def test_a_full_buffer_has_no_room_until_a_quarter_is_free() -> None:
    buffer = filled(8, *range(8))

    rooms = [buffer.room]
    for _ in range(3):
        buffer.take(1)
        rooms.append(buffer.room)

    assert rooms == [0, 0, 2, 3]


def test_a_buffer_that_never_was_full_has_room_for_each_free_place() -> None:
    buffer = filled(8, *range(7))

    assert buffer.room == 1


def test_a_buffer_for_one_job_has_room_again_when_it_is_taken() -> None:
    buffer = filled(1, 1)
    rooms = [buffer.room]

    buffer.take(1)

    assert [*rooms, buffer.room] == [0, 1]


def test_a_job_is_removed_from_wherever_it_stands() -> None:
    buffer = filled(4, 1, 2, 3, 4)

    buffer.remove(2)

    assert (buffer.room, buffer.take(9)) == (1, (1, 3, 4))


def test_a_job_that_is_not_there_cannot_be_removed() -> None:
    buffer = filled(4, 1)

    with pytest.raises(ValueError, match="not in deque"):
        buffer.remove(2)


@pytest.mark.parametrize("size", [0, -1])
def test_a_buffer_without_a_place_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size must be at least 1, got {size}"):
        Buffer(size)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("stb"), st.integers(0, 5))))
def test_no_order_of_steps_loses_a_job_or_changes_the_order(
    steps: list[tuple[str, int]],
) -> None:
    buffer: Buffer[int] = Buffer(4)
    expected: list[int] = []
    fetched = 0
    for step, count in steps:
        match step:
            case "s":
                new = range(fetched, fetched + count)
                fetched += count
                buffer.store(new)
                expected += new
            case "t":
                assert buffer.take(count) == tuple(expected[:count])
                del expected[:count]
            case _:
                buffer.put_back(buffer.take(count))

        assert len(buffer) == len(expected)
        assert 0 <= buffer.room <= max(0, 4 - len(expected))
        assert len(expected) > buffer.low_water or buffer.room == 4 - len(expected)

    assert buffer.take(fetched) == tuple(expected)

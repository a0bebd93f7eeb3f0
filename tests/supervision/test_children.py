from __future__ import annotations

import pytest

from actors.config.model import CANCEL_MODES
from actors.supervision.children import (
    Child,
    Children,
    Fate,
    Follow,
    Restarts,
    StageState,
    follow,
)

NOW = 100.0


@pytest.fixture
def children() -> Children[str]:
    return Children("boot1")


def running(
    children: Children[str], name: str = "sqrt", now: float = NOW
) -> Child[str]:
    child = children.add(name, "config", now)
    children.due(now)
    children.started(name, 7)
    return child


def facts(child: Child[str]) -> tuple[StageState, str, int | None, float | None]:
    return child.state, child.run, child.pid, child.start_at


def test_a_new_child_is_to_be_started_at_once(children: Children[str]) -> None:
    child = children.add("sqrt", "config", NOW)
    next_start = children.next_start()

    due, again = children.due(NOW), children.due(NOW)

    assert (next_start, due, again, children.next_start()) == (NOW, [child], [], None)
    assert facts(child) == (StageState.STARTING, "boot1.sqrt.1", None, None)


def test_a_child_that_says_so_is_running(children: Children[str]) -> None:
    child = running(children)

    assert facts(child) == (StageState.RUNNING, "boot1.sqrt.1", 7, None)


def test_each_start_is_another_run(children: Children[str]) -> None:
    child = running(children)
    runs = [child.run]
    for _ in range(2):
        children.exited("sqrt", NOW)
        children.due(NOW + 1.0)
        runs.append(child.run)

    assert runs == ["boot1.sqrt.1", "boot1.sqrt.2", "boot1.sqrt.3"]
    assert child.starts == 3


def test_children_are_numbered_with_the_first_free_number(
    children: Children[str],
) -> None:
    names = [children.add_numbered("sqrt", "config", NOW).name for _ in range(3)]
    children.remove("sqrt-2")

    names.append(children.add_numbered("sqrt", "config", NOW).name)

    assert names == ["sqrt-1", "sqrt-2", "sqrt-3", "sqrt-2"]
    assert (len(children), [each.name for each in children]) == (
        3,
        ["sqrt-1", "sqrt-3", "sqrt-2"],
    )


def test_a_child_is_found_by_its_name(children: Children[str]) -> None:
    child = running(children)

    assert (children.get("sqrt"), children.get("other")) == (child, None)


def test_removing_and_starting_strangers_changes_nothing(
    children: Children[str],
) -> None:
    children.remove("other")
    children.started("other", 7)

    assert (len(children), children.exited("other", NOW)) == (0, Fate.UNKNOWN)


def test_a_child_that_exits_is_started_again(children: Children[str]) -> None:
    child = running(children)

    fate = children.exited("sqrt", NOW)

    assert (fate, facts(child)[0]) == (Fate.RESTART, StageState.BACKOFF)
    assert children.due(NOW) == [child]


def test_a_second_exit_soon_after_waits(children: Children[str]) -> None:
    child = running(children)
    children.exited("sqrt", NOW)
    children.due(NOW)

    children.exited("sqrt", NOW + 1.0)

    assert children.next_start() == NOW + 1.2
    assert (children.due(NOW + 1.1), children.due(NOW + 1.2)) == ([], [child])


def test_an_exit_that_is_told_twice_counts_once(children: Children[str]) -> None:
    child = running(children)
    children.exited("sqrt", NOW)

    assert children.exited("sqrt", NOW) is Fate.UNKNOWN
    assert (child.state, child.start_at) == (StageState.BACKOFF, NOW)


def test_a_child_that_exits_too_often_is_given_up(children: Children[str]) -> None:
    child = running(children)
    fates = []
    for _ in range(4):
        fates.append(children.exited("sqrt", NOW))
        children.due(NOW + 1.0)

    assert fates == [Fate.RESTART, Fate.RESTART, Fate.RESTART, Fate.FATAL]
    assert (child.state, children.next_start()) == (StageState.FATAL, None)
    assert children.exited("sqrt", NOW) is Fate.UNKNOWN


def test_one_that_exits_often_does_not_take_others_along(
    children: Children[str],
) -> None:
    other = running(children, "other")
    running(children)
    for _ in range(4):
        children.exited("sqrt", NOW)
        children.due(NOW + 1.0)

    assert other.state is StageState.RUNNING
    assert children.exited("other", NOW) is Fate.RESTART


def test_a_draining_child_that_exits_is_done(children: Children[str]) -> None:
    running(children).state = StageState.DRAINING

    assert children.exited("sqrt", NOW) is Fate.REMOVED
    assert len(children) == 0


def test_a_child_that_is_replaced_comes_back_at_once_however_often(
    children: Children[str],
) -> None:
    child = running(children)
    for _ in range(9):
        child.state = StageState.REPLACING
        fate = children.exited("sqrt", NOW)

        assert (fate, children.due(NOW)) == (Fate.RESTART, [child])


def test_a_child_that_is_to_end_does_not_become_running_again(
    children: Children[str],
) -> None:
    child = children.add("sqrt", "config", NOW)
    children.due(NOW)
    child.state = StageState.DRAINING

    children.started("sqrt", 7)

    assert facts(child) == (StageState.DRAINING, "boot1.sqrt.1", None, None)


# How often one may be restarted.


def exits(restarts: Restarts, *times: float) -> list[float | None]:
    return [restarts.exited(at) for at in times]


def test_a_first_exit_is_made_good_at_once() -> None:
    assert exits(Restarts(), 100.0) == [0.0]


def test_each_further_exit_waits_twice_as_long() -> None:
    restarts = Restarts(intensity=5, period_s=60.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0, 4.0)

    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6]


def test_the_wait_grows_no_longer_than_the_cap() -> None:
    restarts = Restarts(intensity=9, period_s=60.0, base_s=8.0, cap_s=10.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0)

    assert delays == [0.0, 8.0, 10.0, 10.0]


def test_it_gives_up_when_the_intensity_is_exceeded() -> None:
    delays = exits(Restarts(intensity=3, period_s=5.0), 0.0, 1.0, 2.0, 3.0)

    assert delays == [0.0, 0.2, 0.4, None]


def test_exits_that_are_a_period_ago_count_no_more() -> None:
    delays = exits(Restarts(intensity=3, period_s=5.0), 0.0, 1.0, 2.0, 5.0, 6.0)

    assert delays == [0.0, 0.2, 0.4, 0.4, 0.4]


def test_after_a_quiet_period_a_restart_is_immediate_again() -> None:
    restarts = Restarts(intensity=3, period_s=5.0)

    delays = exits(restarts, 0.0, 1.0, 2.0, 3.0, 9.0)

    assert delays == [0.0, 0.2, 0.4, None, 0.0]


def test_an_intensity_of_none_at_all_gives_up_at_the_first_exit() -> None:
    assert exits(Restarts(intensity=0), 0.0) == [None]


# What becomes of a processor whose source ends: GenStage's table.

STAY, LEAVE, RESTART = Follow.STAY, Follow.LEAVE, Follow.RESTART


@pytest.mark.parametrize(
    ("mode", "left", "died", "given_up"),
    [
        ("temporary", STAY, STAY, STAY),
        ("transient", STAY, RESTART, RESTART),
        ("permanent", LEAVE, RESTART, RESTART),
    ],
)
def test_the_mode_says_what_follows_from_the_end_of_a_source(
    mode: str, left: Follow, died: Follow, given_up: Follow
) -> None:
    fates = Fate.REMOVED, Fate.RESTART, Fate.FATAL

    assert [follow(mode, fate) for fate in fates] == [left, died, given_up]


@pytest.mark.parametrize("mode", CANCEL_MODES)
def test_an_end_that_is_told_twice_is_followed_once(mode: str) -> None:
    assert follow(mode, Fate.UNKNOWN) is STAY

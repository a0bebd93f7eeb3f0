from __future__ import annotations

import pytest

from actors.demand.cancel_modes import Fate
from actors.supervision.children import Member, Roster, StageState

NOW = 100.0


@pytest.fixture
def roster() -> Roster[str]:
    return Roster("boot1")


def running(roster: Roster[str], name: str = "sqrt", now: float = NOW) -> Member[str]:
    member = roster.add(name, "config", now)
    roster.due(now)
    roster.started(name, 7)
    return member


def facts(member: Member[str]) -> tuple[StageState, str, int | None, float | None]:
    return member.state, member.run, member.pid, member.start_at


def test_a_new_member_is_to_be_started_at_once(roster: Roster[str]) -> None:
    member = roster.add("sqrt", "config", NOW)
    next_start = roster.next_start()

    due, again = roster.due(NOW), roster.due(NOW)

    assert (next_start, due, again, roster.next_start()) == (NOW, [member], [], None)
    assert facts(member) == (StageState.STARTING, "boot1.sqrt.1", None, None)


def test_a_member_that_says_so_is_running(roster: Roster[str]) -> None:
    member = running(roster)

    assert facts(member) == (StageState.RUNNING, "boot1.sqrt.1", 7, None)


def test_each_start_is_another_run(roster: Roster[str]) -> None:
    member = running(roster)
    runs = [member.run]
    for _ in range(2):
        roster.exited("sqrt", NOW)
        roster.due(NOW + 1.0)
        runs.append(member.run)

    assert runs == ["boot1.sqrt.1", "boot1.sqrt.2", "boot1.sqrt.3"]
    assert member.starts == 3


def test_members_are_numbered_with_the_first_free_number(roster: Roster[str]) -> None:
    names = [roster.add_numbered("sqrt", "config", NOW).name for _ in range(3)]
    roster.remove("sqrt-2")

    names.append(roster.add_numbered("sqrt", "config", NOW).name)

    assert names == ["sqrt-1", "sqrt-2", "sqrt-3", "sqrt-2"]
    assert (len(roster), [each.name for each in roster]) == (
        3,
        ["sqrt-1", "sqrt-3", "sqrt-2"],
    )


def test_a_member_is_found_by_its_name(roster: Roster[str]) -> None:
    member = running(roster)

    assert (roster.get("sqrt"), roster.get("other")) == (member, None)


def test_removing_and_starting_strangers_changes_nothing(roster: Roster[str]) -> None:
    roster.remove("other")
    roster.started("other", 7)

    assert (len(roster), roster.exited("other", NOW)) == (0, Fate.UNKNOWN)


def test_a_member_that_exits_is_started_again(roster: Roster[str]) -> None:
    member = running(roster)

    fate = roster.exited("sqrt", NOW)

    assert (fate, facts(member)[0]) == (Fate.RESTART, StageState.BACKOFF)
    assert roster.due(NOW) == [member]


def test_a_second_exit_soon_after_waits(roster: Roster[str]) -> None:
    member = running(roster)
    roster.exited("sqrt", NOW)
    roster.due(NOW)

    roster.exited("sqrt", NOW + 1.0)

    assert roster.next_start() == NOW + 1.2
    assert (roster.due(NOW + 1.1), roster.due(NOW + 1.2)) == ([], [member])


def test_an_exit_that_is_told_twice_counts_once(roster: Roster[str]) -> None:
    member = running(roster)
    roster.exited("sqrt", NOW)

    assert roster.exited("sqrt", NOW) is Fate.UNKNOWN
    assert (member.state, member.start_at) == (StageState.BACKOFF, NOW)


def test_a_member_that_exits_too_often_is_given_up(roster: Roster[str]) -> None:
    member = running(roster)
    fates = []
    for _ in range(4):
        fates.append(roster.exited("sqrt", NOW))
        roster.due(NOW + 1.0)

    assert fates == [Fate.RESTART, Fate.RESTART, Fate.RESTART, Fate.FATAL]
    assert (member.state, roster.next_start()) == (StageState.FATAL, None)
    assert roster.exited("sqrt", NOW) is Fate.UNKNOWN


def test_one_that_exits_often_does_not_take_others_along(roster: Roster[str]) -> None:
    other = running(roster, "other")
    running(roster)
    for _ in range(4):
        roster.exited("sqrt", NOW)
        roster.due(NOW + 1.0)

    assert other.state is StageState.RUNNING
    assert roster.exited("other", NOW) is Fate.RESTART


def test_a_draining_member_that_exits_is_done(roster: Roster[str]) -> None:
    running(roster).state = StageState.DRAINING

    assert roster.exited("sqrt", NOW) is Fate.REMOVED
    assert len(roster) == 0


def test_a_member_that_is_replaced_comes_back_at_once_however_often(
    roster: Roster[str],
) -> None:
    member = running(roster)
    for _ in range(9):
        member.state = StageState.REPLACING
        fate = roster.exited("sqrt", NOW)

        assert (fate, roster.due(NOW)) == (Fate.RESTART, [member])


def test_a_member_that_is_to_end_does_not_become_running_again(
    roster: Roster[str],
) -> None:
    member = roster.add("sqrt", "config", NOW)
    roster.due(NOW)
    member.state = StageState.DRAINING

    roster.started("sqrt", 7)

    assert facts(member) == (StageState.DRAINING, "boot1.sqrt.1", None, None)

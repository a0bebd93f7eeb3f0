"""What people changed, as a root that comes after is to be started with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from actors.config.build import build
from actors.config.overrides import Changes
from actors.config.toml_file import ConfigFile
from actors.config.values import resolve
from actors.host.reports import (
    Alive,
    Attached,
    Counted,
    Detached,
    Draining,
    Paused,
    Report,
    Reporter,
    Resumed,
    Stopped,
    Tuned,
    line_of,
    read_reports,
    report_of,
)

if TYPE_CHECKING:
    from actors.config.model import SystemConfig

TEXT = {
    "fetcher": [{"name": "north"}, {"name": "south"}],
    "processor": [{"name": "sqrt", "count": 2, "max_demand": 4, "min_demand": 1}],
}


def configured() -> SystemConfig:
    file = ConfigFile(Path("test"), TEXT, "")
    return build(resolve({}, {}, file), file)


def after(*reports: Report) -> Changes:
    """As they come through a pipe."""
    changes = Changes()
    for report in reports:
        assert changes.heard(report_of(line_of(report)))
    return changes


def test_nothing_changed_is_what_was_configured() -> None:
    assert Changes().over(configured()) == configured()


def test_the_last_value_stands_and_only_of_the_stage_that_it_was_set_for() -> None:
    changes = after(
        Tuned("south", {"every_s": 9.0}),
        Tuned("south", {"rate_limit": 3}),
        Tuned("south", {"every_s": 7.0}),
        Tuned("sqrt", {"max_demand": "auto", "min_demand": None}),
    )

    north, south = changes.over(configured()).fetchers
    [sqrt] = changes.over(configured()).processors

    assert north == configured().fetchers[0]
    assert (south.every_s, south.rate_limit) == (7.0, 3)
    assert (sqrt.max_demand, sqrt.min_demand, sqrt.count) == ("auto", None, 2)


def test_those_attached_and_detached_are_added_up() -> None:
    attached, detached = Counted("sqrt", 1), Counted("sqrt", -1)

    more = after(attached, attached, detached).over(configured())
    none = after(*[detached] * 3).over(configured())

    assert [each.count for each in more.processors] == [3]
    assert [each.count for each in none.processors] == [0]


def test_a_pause_stands_until_its_end() -> None:
    north = Paused("north", hold=True)
    south = Paused("south", hold=False)

    changes = after(north, south, Resumed("south"))

    assert changes.paused == {"north": True}


def test_a_report_is_one_line_of_json_key_for_key() -> None:
    assert line_of(Alive(17)) == b'{"report": "alive", "pid": 17}\n'
    stopped = Stopped({"done": 1}, left=2)
    assert line_of(stopped) == (
        b'{"report": "stopped", "accounting": {"done": 1}, "left": 2, '
        b'"unanswered": []}\n'
    )
    assert report_of(line_of(stopped)) == stopped


def test_every_report_of_a_change_is_known_as_one() -> None:
    reader, writer = os.pipe()
    reporter = Reporter(writer)
    reporter.paused("north", hold=True)
    reporter.resumed("south")
    reporter.tuned("south", {"every_s": 1.0})
    reporter.counted("sqrt", 2)
    reporter.draining()
    reporter.beat()

    reports, _ = read_reports(reader)
    known = [Changes().heard(each) for each in reports]

    assert known == [True] * 5 + [False]
    os.close(reader)
    os.close(writer)


def test_what_is_no_report_is_passed_over() -> None:
    reader, writer = os.pipe()
    lines = (b"broken", b"{}", b"[]", b'{"report": "nothing"}', b'{"report": "beat"}')
    os.write(writer, b"\n".join((*lines, b'{"report": "resumed", "x": 1}\n')))

    assert [type(each).__name__ for each in read_reports(reader)[0]] == ["Beat"]
    os.close(writer)
    assert read_reports(reader) == ([], True)
    os.close(reader)


def test_another_system_goes_on_with_what_was_changed() -> None:
    changes = after(
        Paused("south", hold=True),
        Tuned("north", {"every_s": 9.0}),
        Tuned("sqrt", {"max_demand": "auto", "min_demand": None}),
        Counted("sqrt", 3),
        Detached("north"),
        Draining(),
    )

    again = Changes.of(changes.as_text(), configured())

    assert again.over(configured()) == changes.over(configured())
    assert (again.paused, again.detached) == ({"south": True}, {"north"})
    # That was said to the one that stopped.
    assert not again.draining
    assert again.as_text() == changes.as_text()


def test_what_was_undone_is_nothing() -> None:
    changes = after(
        *(Paused("south", hold=False), Resumed("south"), Detached("north")),
        *(Attached("north"), Counted("sqrt", 2), Counted("sqrt", -2)),
    )

    assert changes.as_text() == ""
    assert Changes.of("", configured()) == Changes()


def test_what_does_not_fit_another_configuration_is_left_out() -> None:
    kept = {
        "paused": {"west": True, "south": False},
        "detached": ["west"],
        "more": {"west": 2},
        "values": {
            "south": {"every_s": -1.0, "rate_limit": 3, "renamed": 1},
            "sqrt": {"every_s": 1.0},
            "west": {"every_s": 1.0},
        },
        "later": 1,
    }

    changes = Changes.of(json.dumps(kept), configured())

    assert changes == after(
        Paused("south", hold=False), Tuned("south", {"rate_limit": 3})
    )

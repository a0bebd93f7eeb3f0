from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from domain.api.expressions import compiled
from domain.api.rules import Heard, Meaning, Rule, meaning_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def heard(status: int = 200, value: Any = None, **headers: str) -> Heard:
    named = {name.replace("_", "-"): each for name, each in headers.items()}
    return Heard(status, CaseInsensitiveDict(named), value, NOW)


def judged(said: Heard, *rules: Rule) -> Meaning:
    return meaning_of(rules, said, (204,))


def when(text: str, do: str = "error", **options: Any) -> Rule:
    return Rule(do=do, when=compiled(text, "rules"), **options)


@pytest.mark.parametrize(
    ("said", "do"),
    [
        (heard(200), "take"),
        (heard(201), "take"),
        (heard(204), "none"),
        (heard(500), "refused"),
        (heard(401), "refused"),
        (heard(403), "refused"),
        (heard(429), "refused"),
        (heard(429, Retry_After="3"), "wait"),
        (heard(403, Retry_After="3"), "wait"),
        (heard(403, X_RateLimit_Remaining="0", X_RateLimit_Reset="30"), "wait"),
        (heard(403, X_RateLimit_Remaining="3", X_RateLimit_Reset="30"), "refused"),
        (heard(500, X_RateLimit_Remaining="0", X_RateLimit_Reset="30"), "refused"),
        (heard(503, Retry_After="3"), "refused"),
    ],
)
def test_without_a_rule_the_status_says_it(said: Heard, do: str) -> None:
    assert judged(said).do == do


def test_the_first_rule_that_applies_says_it() -> None:
    rules = [
        Rule(do="none", status=(404, 410)),
        Rule(do="take", status=(404,)),
        Rule(do="fault", header="X-Kind", equals="dead"),
        Rule(do="error", header="X-Kind"),
    ]

    assert judged(heard(404), *rules).do == "none"
    assert judged(heard(200, X_Kind="dead"), *rules).do == "fault"
    assert judged(heard(200, X_Kind="other"), *rules).do == "error"
    assert judged(heard(200), *rules).do == "take"


@pytest.mark.parametrize(
    ("value", "do"),
    [
        ({"ok": False}, "error"),
        ({"ok": True}, "take"),
        ({}, "take"),
        (None, "take"),
        ([1], "take"),
    ],
)
def test_a_rule_looks_into_the_body(value: Any, do: str) -> None:
    assert judged(heard(200, value), when("ok == `false`")).do == do


def test_all_that_a_rule_names_has_to_be_so() -> None:
    rule = when("code", status=(400,), header="X-A", equals="1")

    assert judged(heard(400, {"code": 1}, X_A="1"), rule).do == "error"
    assert judged(heard(200, {"code": 1}, X_A="1"), rule).do == "take"
    assert judged(heard(400, {"code": 1}, X_A="2"), rule).do == "refused"
    assert judged(heard(400, {"code": 0}, X_A="1"), rule).do == "error"
    assert judged(heard(400, {"code": ""}, X_A="1"), rule).do == "refused"


def test_the_body_says_what_is_wrong_in_one_line() -> None:
    rule = when("ok == `false`", message=compiled("error", "rules"))
    said = heard(200, {"ok": False, "error": "not\nallowed " + "x" * 1000})

    text = judged(said, rule).text

    assert text.startswith("rules: number 1 says so of status 200: not allowed xxx")
    assert len(text) < 400


def test_how_long_to_wait() -> None:
    rule = Rule(do="wait", status=(418,), wait_s=5.0)
    unsaid = Rule(do="wait", status=(418,))

    assert judged(heard(418), rule).wait_s == 5.0
    assert judged(heard(418), unsaid).wait_s == 60.0
    limited = heard(418, X_RateLimit_Remaining="0", X_RateLimit_Reset="9")
    assert judged(limited, rule).wait_s == 9.0

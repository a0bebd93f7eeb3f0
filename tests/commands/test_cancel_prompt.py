"""The keys that lead from an id to a job that is cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from actors.commands.cancel_prompt import CancelPrompt
from actors.commands.jobs import JobsError

JOB = {"id": 3, "key": 7, "fetcher": "numbers", "state": "leased"}


def find(job_id: str) -> list[dict[str, Any]]:
    if job_id != "3":
        raise JobsError(f"there is no job {job_id} in the journal")
    return [JOB]


def typed(keys: str) -> CancelPrompt:
    prompt = CancelPrompt(find)
    for key in keys:
        prompt.press(key)
    return prompt


@pytest.mark.parametrize("yes", ["y", "Y"])
def test_a_job_is_meant_once_its_id_is_typed_and_confirmed(yes: str) -> None:
    asked = typed("4\x7f3\n")
    confirmed = typed(f"4\x7f3\n{yes}")

    assert asked.text == "cancel job 3 of numbers, leased? [y]es, any other key: no"
    assert (asked.is_over, asked.meant) == (False, ())
    assert (confirmed.is_over, confirmed.meant) == (True, [JOB])


@pytest.mark.parametrize(
    "keys", ["\x1b", "3\x1b", "3\n\x1b", "3\nn", "3\n\n", "\n", " \n"]
)
def test_anything_else_cancels_nothing(keys: str) -> None:
    prompt = typed(keys)

    assert (prompt.is_over, prompt.meant) == (True, ())


def test_what_cannot_be_cancelled_is_said() -> None:
    prompt = typed("9\r")

    assert prompt.text == "there is no job 9 in the journal"
    assert (prompt.is_over, prompt.meant) == (True, ())


def test_what_is_no_letter_is_not_typed() -> None:
    assert typed("\x07a\x00b").text == (
        "cancel the job with the id: ab_  (Enter, or Esc to leave)"
    )

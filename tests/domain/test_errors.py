from __future__ import annotations

import copy
import pickle

import pytest

from domain import errors
from domain.errors import (
    BadJobError,
    BadNumberError,
    BadOptionError,
    BadStatusError,
    BadUrlError,
    CutOffError,
    DomainError,
    GarbledError,
    RedirectedError,
    SourceError,
    TimedOutError,
    TooLargeError,
)

EVERY_KIND = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DomainError)
]


def made(kind: type[DomainError]) -> DomainError:
    if issubclass(kind, BadStatusError):
        return kind("why", status=503, retry_after_s=1.5, body=b"body")
    if issubclass(kind, RedirectedError):
        return kind("why", status=302)
    if issubclass(kind, SourceError):
        return kind("why", body=b"body")
    return kind("why")


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_pickles_intact(kind: type[DomainError], protocol: int) -> None:
    error = made(kind)
    error.add_note("a note")

    for again in pickle.loads(pickle.dumps(error, protocol)), copy.copy(error):  # noqa: S301
        assert type(again) is kind
        assert (again.args, vars(again)) == (("why",), vars(error))


def test_only_errors_of_the_input_are_permanent() -> None:
    permanent = {kind for kind in EVERY_KIND if made(kind).permanent}

    assert permanent == {BadUrlError, BadOptionError, BadNumberError}


def test_a_job_may_be_lost_only_where_an_answer_was_on_its_way() -> None:
    unknown = {
        kind
        for kind in EVERY_KIND
        if issubclass(kind, SourceError) and kind.unknown_outcome
    }

    assert unknown == {TimedOutError, CutOffError, GarbledError, TooLargeError}


def test_a_long_body_is_kept_in_part() -> None:
    error = BadJobError("why", body=b"x" * 100_000)

    assert error.body == b"x" * 65536

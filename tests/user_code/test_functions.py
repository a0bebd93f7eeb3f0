"""What a fetch is given beside its options, and how that is seen."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from actors.user_code.functions import (
    FunctionError,
    check_call,
    check_fetch,
    given_to,
)

Fetch = Callable[..., Any]


NOTHING = object()


def plain(url: str = "") -> Any: ...


def with_state(url: str = "", state: Any = None) -> Any: ...


def needs_state(state: Any) -> Any: ...


def only_by_name(*, state: Any) -> Any: ...


def tells_nothing_given(url: str = "", *, state: Any = NOTHING) -> Any: ...


def takes_any(**options: Any) -> Any: ...


def several(*state: Any) -> Any: ...


def wrapper(function: Fetch) -> Fetch:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapped


def supplying(function: Fetch) -> Fetch:
    @functools.wraps(function)
    def wrapped(url: str = "") -> Any:
        return function(url, state=7)

    return wrapped


class Called:
    def __call__(self, state: Any = None) -> Any: ...


@pytest.mark.parametrize(
    "fetch",
    [
        with_state,
        needs_state,
        only_by_name,
        tells_nothing_given,
        wrapper(with_state),
        wrapper(wrapper(needs_state)),
        functools.partial(with_state, "url"),
        functools.partial(wrapper(with_state), url="url"),
        wrapper(functools.partial(with_state, url="url")),
        Called(),
    ],
)
def test_a_fetch_with_a_parameter_state_is_seen(fetch: Fetch) -> None:
    assert check_fetch(fetch, "m:fetch") == {"state"}
    assert given_to(fetch) == {"state"}


@pytest.mark.parametrize(
    "fetch",
    [plain, takes_any, several, wrapper(plain), supplying(with_state), dict, print],
)
def test_one_without_is_not_taken_for_one(fetch: Fetch) -> None:
    assert check_fetch(fetch, "m:fetch") == frozenset()


def test_where_any_option_goes_one_may_be_called_state() -> None:
    assert check_fetch(takes_any, "m:fetch", ["state"]) == frozenset()


@pytest.mark.parametrize("fetch", [with_state, wrapper(with_state)])
def test_an_option_of_that_name_is_refused(fetch: Fetch) -> None:
    with pytest.raises(FunctionError, match="there can be no option of that name"):
        check_fetch(fetch, "m:fetch", ["url", "state"])


def test_a_default_that_it_would_never_have_is_refused() -> None:
    def fetch(state: str = "open") -> Any: ...

    with pytest.raises(FunctionError, match="default must be None, got 'open'"):
        check_fetch(fetch, "m:fetch")
    with pytest.raises(FunctionError, match="default must be None, got 3"):
        check_fetch(functools.partial(with_state, state=3), "m:fetch")


def test_what_is_wrong_with_the_options_is_told_as_ever() -> None:
    with pytest.raises(FunctionError, match="unexpected keyword argument 'ulr'"):
        check_fetch(with_state, "m:fetch", ["ulr"])


def test_one_that_wraps_itself_is_seen_through_no_further() -> None:
    def fetch(**options: Any) -> Any: ...

    vars(fetch)["__wrapped__"] = fetch

    assert check_fetch(fetch, "m:fetch") == frozenset()


def says_it_takes_two(job: Any) -> Any:
    return job


says_it_takes_two.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter(each, inspect.Parameter.POSITIONAL_ONLY) for each in "ab"]
)


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda job: job,
        lambda job, /: job,
        lambda job, more: (job, more),
        lambda job, more=1: (job, more),
        lambda job=1, more=1: (job, more),
        lambda job, *more: (job, more),
        lambda job, **more: (job, more),
        lambda *jobs: jobs,
        lambda job, *, more: (job, more),
        lambda job, *, more=1: (job, more),
        lambda *, job: job,
        functools.partial(lambda job, more: (job, more), 1),
        functools.wraps(lambda job, more: (job, more))(lambda job: job),
        says_it_takes_two,
    ],
)
def test_what_can_be_called_with_a_job_is_what_python_would_call(
    function: Callable[..., Any],
) -> None:
    try:
        inspect.signature(function, follow_wrapped=False).bind("job")
    except TypeError:
        with pytest.raises(FunctionError):
            check_call(function, "jobs:process", "job")
    else:
        check_call(function, "jobs:process", "job")

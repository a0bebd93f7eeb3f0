"""What a fetch is given beside its options, and how that is seen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from actors.user_code.functions import FunctionError, check_fetch, given_to

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

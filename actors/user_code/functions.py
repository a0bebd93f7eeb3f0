"""Where the user's modules are found: where the user is, after all others.

A file of the user's may be called ``queue.py`` or ``secrets.py``, as modules are that
we import, or those we import from do. It must not be found in their place.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.user_code.imports import found_here, guard, import_named, real_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType


def find_last() -> None:
    """Have modules found in the working directory, where they are nowhere else.

    Those that libraries import are not found there at all.
    """
    guard()
    if "" not in sys.path:
        sys.path.append("")


def hidden(module: ModuleType) -> str | None:
    """The user's file that a module of the same name keeps from being found."""
    if "." in module.__name__:
        return None
    spec = found_here(module.__name__)
    origin = getattr(spec, "origin", None)
    if not origin or not Path(origin).is_file():
        return None
    file = getattr(module, "__file__", None)
    if file is not None and Path(file).resolve() == Path(origin).resolve():
        return None
    return str(origin)


class FunctionError(ValueError):
    """The name does not lead to a function."""


def load_beside(name: str, function_name: str) -> Callable[..., Any] | None:
    """Another function of the module of one that is loaded; None if it has none.

    Args:
        name: Of the one that is loaded.
        function_name: Of the other.
    """
    module = sys.modules.get(real_name(name.partition(":")[0]))
    function = getattr(module, function_name, None)
    return function if callable(function) else None


def name_beside(name: str, function_name: str) -> str:
    """The name of another function of the module of one, ``MODULE:FUNCTION``."""
    return f"{name.partition(':')[0]}:{function_name}"


def load(name: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        name: ``package.module:function``.

    Raises:
        FunctionError: The name has another form, the module cannot be imported,
            or it has no such function.
    """
    module_name, colon, function_name = name.partition(":")
    if not (colon and module_name and function_name):
        raise FunctionError(
            f"expected MODULE:FUNCTION, as in domain.numbers:fetch, got {name!r}"
        )
    try:
        module = import_named(module_name)
    except Exception as error:
        raise FunctionError(
            f"cannot import module {module_name!r} of {name!r}: "
            f"{type(error).__name__}: {error}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        what = "is no function" if hasattr(module, function_name) else "is not there"
        mine = hidden(module)
        where = f"; that is not {mine}: give it another name" if mine else ""
        raise FunctionError(
            f"{function_name!r} {what} in module {module_name!r} (of {name!r}){where}"
        )
    return function  # type: ignore[no-any-return]


def check_call(
    function: Callable[..., Any],
    name: str,
    *words: str,
    options: Iterable[str] = (),
    yields: bool = False,
    awaits: bool = False,
) -> None:
    """Refuse a function that cannot be called as it will be.

    What Python knows no signature of, as of some that are written in C, passes.

    Args:
        function: Not called.
        name: Its ``MODULE:FUNCTION``.
        words: What each argument by place is, for the message.
        options: Names of arguments by name.
        yields: Whether it may be a generator, which yields what there is.
        awaits: Whether it may be an async function, which somebody awaits.

    Raises:
        FunctionError: It takes other arguments, or it is an async function.
    """
    if not (awaits and is_async(function)):
        check_kind(function, name, yields=yields)
    options = tuple(options)
    if not options and _takes(function, len(words)):
        return
    try:
        # What a decorator wraps may take more, which the decorator adds.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return
    call = ", ".join([*words, *(f"{each}=..." for each in options)])
    called = f"{name!r} is called as {name.rpartition(':')[2]}({call})"
    by_place = list(signature.parameters.values())[: len(words)]
    for each in by_place:
        if each.name in options and each.kind is each.POSITIONAL_OR_KEYWORD:
            names = ", ".join(each.name for each in by_place)
            raise FunctionError(
                f"{called}: its parameter {each.name!r} cannot be an option as well; "
                f"rename one of them, or put a slash behind ({names}, /, ...)"
            )
    try:
        signature.bind(*words, **dict.fromkeys(options))
    except TypeError as error:
        raise FunctionError(f"{called}: {error}") from None


def _takes(function: Callable[..., Any], count: int) -> bool:
    # Most are as plain as that, and each process of a processor asks: inspect, whose
    # pages nothing else there writes to, would be another 0.2 MB of its own.
    if type(function) is not types.FunctionType or hasattr(function, "__signature__"):
        return False
    code = function.__code__
    others = code.co_kwonlyargcount or code.co_flags & _MORE
    return code.co_argcount == count and not others


#: Whether a function takes any number of arguments.
_MORE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS

#: Parameters of a fetch that are not options: it is given what they stand for.
GIVEN = ("state", "next_poll")

#: Wrappers inside each other, as far as they are looked through.
_MOST_WRAPPERS = 100


def check_fetch(
    fetch: Callable[..., Any], name: str, options: Iterable[str] = ()
) -> frozenset[str]:
    """Refuse a fetch that cannot be called as it will be.

    Args:
        fetch: Not called.
        name: Its ``MODULE:FUNCTION``.
        options: The names of its options.

    Returns:
        Those of the `GIVEN` that it has as parameters.

    Raises:
        FunctionError: It takes other arguments, or an option has the name of one
            that it is given.
    """
    options = tuple(options)
    given = frozenset(each for each in GIVEN if _is_given(fetch, name, each, options))
    check_call(fetch, name, options=(*options, *sorted(given)), yields=True)
    return given


def given_to(fetch: Callable[..., Any]) -> frozenset[str]:
    """Those of the `GIVEN` that a fetch has as parameters, whether it may or not."""
    return frozenset(each for each in GIVEN if _parameter(fetch, each) is not None)


def _is_given(
    fetch: Callable[..., Any], name: str, word: str, options: tuple[str, ...]
) -> bool:
    parameter = _parameter(fetch, word)
    if parameter is None:
        return False
    if word in options:
        raise FunctionError(
            f"{name!r} has a parameter {word!r}, which lowtide fills in, so there can "
            f"be no option of that name: rename the one or the other"
        )
    default = parameter.default
    # A bare object is what a function tells by that nothing was given.
    if default not in (None, inspect.Parameter.empty) and type(default) is not object:
        raise FunctionError(
            f"{name!r} has a parameter {word!r}, which lowtide fills in, so its "
            f"default must be None, got {parameter.default!r}"
        )
    return True


def _parameter(function: Any, word: str) -> inspect.Parameter | None:
    # A wrapper that takes any argument by name hands it on to what it wraps.
    for _ in range(_MOST_WRAPPERS):
        try:
            signature = inspect.signature(function, follow_wrapped=False)
        except (TypeError, ValueError):
            return None
        parameters = signature.parameters
        found = parameters.get(word)
        if found is not None and found.kind in _BY_NAME:
            return found
        kinds = {each.kind for each in parameters.values()}
        inner = getattr(function, "__wrapped__", None)
        if isinstance(function, functools.partial):
            inner = function.func
        if inner is None or inspect.Parameter.VAR_KEYWORD not in kinds:
            return None
        function = inner
    return None


_BY_NAME = (
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def check_kind(function: Callable[..., Any], name: str, *, yields: bool) -> None:
    """Refuse a function whose call only begins what somebody else must carry on.

    Args:
        function: Not called.
        name: Its ``MODULE:FUNCTION``.
        yields: Whether it may be a generator.

    Raises:
        FunctionError: It is an async function, or a generator that may be none.
    """
    body = _body_of(function)
    kinds = (
        ("an async function", inspect.iscoroutinefunction(body)),
        ("an async generator", inspect.isasyncgenfunction(body)),
        ("a generator", inspect.isgeneratorfunction(body) and not yields),
    )
    for what, is_it in kinds:
        if is_it:
            raise FunctionError(
                f"{name!r} is {what}: it must be an ordinary function that returns "
                "when its work is done"
            )


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call of it returns what is to be awaited."""
    return inspect.iscoroutinefunction(_body_of(function))


def _body_of(function: Any) -> Any:
    """What runs when ``function`` is called, as far as that can be said.

    What an ordinary function does with one that it wraps cannot: it may well run
    an async one to its end.
    """
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, _CACHED):
            function = function.__wrapped__
        elif isinstance(function, staticmethod | classmethod | types.MethodType):
            function = function.__func__
        elif isinstance(function, types.FunctionType | type):
            return function
        elif isinstance(own := type(function).__call__, types.FunctionType):
            return own
        else:
            return function


#: What ``functools.cache`` makes, and calls as it is.
_CACHED = type(functools.cache(int))

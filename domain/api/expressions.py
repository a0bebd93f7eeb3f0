"""Where in a JSON value something is: a plain path, or a JMESPath expression."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from ..errors import BadAnswerError

__all__ = ["Expression", "Path", "at", "compiled"]

#: Keys, and numbers of array elements, with dots between. JMESPath has most of
#: them too, but cannot tell what is null from what is not there, and wants quotes
#: around a hyphen.
_PLAIN = re.compile(r"@?[\w$/#-]+(\.@?[\w$/#-]+)*")

#: Nodes of a JMESPath expression that make a list of another one.
_PROJECTIONS = ("projection", "filter_projection", "flatten")


class Path:
    """A plain path, as in ``data.orders.0``; an empty one is the whole value."""

    def __init__(self, text: str, option: str) -> None:
        self.text = text
        self.option = option

    def find(self, value: Any) -> tuple[bool, Any]:
        """Whether there is something at this place, and what."""
        return at(value, self.text)

    def elements(self, value: Any) -> Any:
        """What the list was before a filter: itself, since there is none."""
        return self.find(value)[1]


@dataclass(frozen=True)
class Expression:
    """A JMESPath expression.

    Attributes:
        text: As it was written.
        option: Which option it is, for messages.
    """

    text: str
    option: str

    @cached_property
    def _parsed(self) -> Any:
        return jmespath.compile(self.text)

    def find(self, value: Any) -> tuple[bool, Any]:
        """Whether there is something but null at this place, and what.

        Raises:
            BadAnswerError: A function in it is of no use for this value.
        """
        try:
            found = self._parsed.search(value)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadAnswerError(
                f"{self.option}: {self.text!r} does not fit the answer: {reason}"
            ) from None
        return found is not None, found

    def elements(self, value: Any) -> Any:
        """The list that the expression filters, where it only filters.

        An empty result of a filter says nothing about the page: the next may have
        something that passes.
        """
        node = self._parsed.parsed
        while node["type"] in _PROJECTIONS and _is_filter(node):
            node = node["children"][0]
        if node is self._parsed.parsed:
            return self.find(value)[1]
        inner = type(self._parsed)(self.text, node)
        try:
            return inner.search(value)
        except (JMESPathError, TypeError, ValueError, RecursionError):
            return None


def _is_filter(node: dict[str, Any]) -> bool:
    children = node["children"]
    return len(children) > 1 and children[1]["type"] == "identity"


def compiled(text: str, option: str) -> Path | Expression:
    """Read an expression.

    Raises:
        ValueError: It is none; the text says where.
    """
    if not text or _PLAIN.fullmatch(text):
        return Path(text, option)
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        # Below its first line the error draws where it is.
        reason = str(error).partition("\n")[0].rpartition("expression: ")[2]
        raise ValueError(
            f"expected a JMESPath expression, got {text!r}: {reason.rstrip(': ')}"
        ) from None
    return Expression(text, option)


def at(value: Any, path: str) -> tuple[bool, Any]:
    """Whether there is something at a plain path in a value, and what."""
    for step in filter(None, path.split(".")):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, list) and not value and step.isdecimal():
            # Of an empty array the first element is not missing: there is none.
            return True, []
        else:
            return False, None
    return True, value

"""The ways to the next page of a list, and when there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urljoin

from requests.utils import parse_header_links

from ..errors import BadAnswerError, BadUrlError, short
from ..urls import origin, shown
from .expressions import Expression, Path

__all__ = [
    "NextLast",
    "NextLink",
    "NextNumber",
    "NextPage",
    "NextToken",
    "NextUrl",
    "Page",
    "Position",
    "following",
]

#: Where a page is: ``{"url": …}`` in place of the source's URL, or ``{"params": …}``
#: besides its own. A JSON value, since a round may go on after a restart.
Position: TypeAlias = dict[str, Any]

_MAX_TOKEN = 8 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer that lists something.

    Attributes:
        url: What was asked.
        headers: Of the answer.
        answer: The whole of it, as its format says.
        elements: What it lists, before a filter.
        jobs: What is left of that.
        position: Where it was; None for the first.
    """

    url: str
    headers: Mapping[str, str]
    answer: Any
    elements: Sequence[Any]
    jobs: Sequence[Any]
    position: Position | None


class NextPage(Protocol):
    """One of the ways."""

    @property
    def size(self) -> int | None:
        """How many elements a page has that is not the last, if that is known."""

    def first(self) -> dict[str, Any]:
        """The parameters of the first page."""

    def after(self, page: Page) -> Position | None:
        """Where the next page is; None if the page does not say.

        Raises:
            BadAnswerError: What it says cannot be followed.
        """


class _Told:
    """A way that the answer tells, so that it also tells the last page."""

    @property
    def size(self) -> int | None:
        return None

    def first(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class NextLink(_Told):
    """The header ``Link`` with the relation ``next``. Source: RFC 8288."""

    def after(self, page: Page) -> Position | None:
        """See `NextPage`."""
        for link in parse_header_links(page.headers.get("Link", "")):
            if "next" in str(link.get("rel", "")).lower().split():
                return _followed(link["url"], page, "next")
        return None


@dataclass(frozen=True, slots=True)
class NextUrl(_Told):
    """A URL in the answer, absolute or relative."""

    url: Path | Expression

    def after(self, page: Page) -> Position | None:
        """See `NextPage`."""
        found = self.url.find(page.answer)[1]
        if found is None or found is False or found == "":
            return None
        if not isinstance(found, str):
            raise BadAnswerError(
                f"next.url: expected a URL at {self.url.text!r}, got {short(found)}"
            )
        return _followed(found, page, "next.url")


@dataclass(frozen=True, slots=True)
class NextToken(_Told):
    """A token in the answer that the next request has as a parameter."""

    token: Path | Expression
    param: str

    def after(self, page: Page) -> Position | None:
        """See `NextPage`."""
        found = self.token.find(page.answer)[1]
        if found is None or found is False or found == "":
            return None
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise BadAnswerError(
                f"next.token: expected a text or a number at {self.token.text!r}, "
                f"got {short(found)}"
            )
        if isinstance(found, str) and len(found) > _MAX_TOKEN:
            raise BadAnswerError(
                f"next.token: expected at most {_MAX_TOKEN} characters at "
                f"{self.token.text!r}, got {len(found)}"
            )
        return {"params": {self.param: found}}


@dataclass(frozen=True, slots=True)
class NextNumber:
    """A page's number, or how many elements come before it.

    Attributes:
        param: The parameter.
        start: Its first value.
        step: By how much it grows with each page; None for as many as a page had.
        size: How many elements a page has, if that is known.
        size_param: The parameter that says so.
    """

    param: str
    start: int
    step: int | None
    size: int | None = None
    size_param: str | None = None

    def first(self) -> dict[str, Any]:
        """See `NextPage`."""
        return self._params(self.start)

    def after(self, page: Page) -> Position | None:
        """See `NextPage`."""
        now = (page.position or {"params": self.first()})["params"][self.param]
        step = len(page.elements) if self.step is None else self.step
        return {"params": self._params(now + step)}

    def _params(self, value: int) -> dict[str, Any]:
        size = {} if self.size_param is None else {self.size_param: self.size}
        return {self.param: value, **size}


@dataclass(frozen=True, slots=True)
class NextLast(_Told):
    """What identifies the last element, which the next page comes after."""

    last_id: Path | Expression
    param: str

    def after(self, page: Page) -> Position | None:
        """See `NextPage`."""
        if not page.elements:
            return None
        found = self.last_id.find(page.elements[-1])[1]
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise BadAnswerError(
                f"next.last_id: expected a text or a number at {self.last_id.text!r} "
                f"in the last of {len(page.elements)}, got {short(found)}"
            )
        return {"params": {self.param: found}}


def following(
    way: NextPage | None, more: Path | Expression | None, page: Page
) -> tuple[bool, Position | None]:
    """Say whether there is another page, and where.

    Args:
        way: To the next page; None where the cursor is the only way.
        more: Where the answer says whether there is one.
        page: The last one.

    Raises:
        BadAnswerError: What the page says makes no sense.
    """
    goes_on = None if more is None else _said(more, page)
    if goes_on is False:
        return False, None
    if goes_on is None:
        is_short = way is not None and len(page.elements) < (way.size or 0)
        if way is None or is_short or not page.elements:
            return False, None
    if way is None:
        return True, None
    position = way.after(page)
    if position is None and more is not None:
        raise BadAnswerError(
            f"next: expected another page, since more says so at {more.text!r}, "
            "got nothing that says where it is"
        )
    if position is not None and position == page.position:
        raise BadAnswerError("next: expected another page, got the same one again")
    return position is not None, position


def _said(more: Path | Expression, page: Page) -> bool:
    found = more.find(page.answer)[1]
    if not isinstance(found, bool):
        raise BadAnswerError(
            f"more: expected true or false at {more.text!r}, got {short(found)}; a "
            "place that says where the next page is belongs into next"
        )
    return found


def _followed(target: str, page: Page, option: str) -> Position:
    try:
        url = urljoin(page.url, target)
        here, there = origin(page.url), origin(url)
        name = shown(url)
    except (BadUrlError, ValueError):
        raise BadAnswerError(
            f"{option}: expected a URL, got one that cannot be asked"
        ) from None
    if here != there:
        raise BadAnswerError(
            f"{option}: expected a URL of {here[0]}://{here[1]}:{here[2]}, got {name}: "
            "another origin is not asked"
        )
    if url == page.url:
        raise BadAnswerError(f"{option}: the page points to itself ({name})")
    return {"url": url}

from __future__ import annotations

from typing import Any

import pytest

from domain.api.expressions import Expression, Path, compiled
from domain.api.paging import (
    NextLast,
    NextLink,
    NextNumber,
    NextPage,
    NextToken,
    NextUrl,
    Page,
    following,
)
from domain.errors import BadAnswerError

URL = "https://api.example/items?x=1"
MORE = compiled("more", "more")


def page(
    answer: Any = None,
    elements: Any = ({"id": 1},),
    position: Any = None,
    **headers: str,
) -> Page:
    return Page(
        url=URL,
        headers=headers,
        answer=answer,
        elements=elements,
        jobs=elements,
        position=position,
    )


def after(
    way: NextPage | None, page: Page, more: Path | Expression | None = None
) -> Any:
    return following(way, more, page)


def at(text: str) -> Path | Expression:
    return compiled(text, "next")


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (
            '<https://api.example/items?page=2>; rel="next"',
            "https://api.example/items?page=2",
        ),
        ('</items?page=2>; rel="next"', "https://api.example/items?page=2"),
        (
            '<https://api.example/1>; rel="prev", <https://api.example/2>; rel="next"',
            "https://api.example/2",
        ),
        ('<?page=2>; rel="last next"', "https://api.example/items?page=2"),
    ],
)
def test_the_header_link(link: str, url: str) -> None:
    assert after(NextLink(), page(Link=link)) == (True, {"url": url})


@pytest.mark.parametrize(
    "link", ["", '<https://api.example/2>; rel="last"', "nonsense", "<x"]
)
def test_no_link_to_the_next_page(link: str) -> None:
    assert after(NextLink(), page(Link=link)) == (False, None)


@pytest.mark.parametrize("end", [None, "", False])
def test_a_url_or_a_token_of_the_answer(end: Any) -> None:
    url, token = NextUrl(at("next")), NextToken(at("next"), "cursor")

    found = {"next": "/items?x=2"}
    assert after(url, page(found)) == (True, {"url": "https://api.example/items?x=2"})
    assert after(token, page({"next": "t"})) == (True, {"params": {"cursor": "t"}})
    assert after(token, page({"next": 7})) == (True, {"params": {"cursor": 7}})
    assert after(url, page({"next": end})) == (False, None)
    assert after(token, page({"next": end})) == (False, None)


def test_numbers_of_pages() -> None:
    way = NextNumber("page", 1, 1, 2, "per_page")
    second = {"params": {"page": 2, "per_page": 2}}

    assert way.first() == {"page": 1, "per_page": 2}
    assert after(way, page(elements=[1, 2])) == (True, second)
    third = {"params": {"page": 3, "per_page": 2}}
    assert after(way, page(elements=[1, 2], position=second)) == (True, third)
    assert after(way, page(elements=[1], position=second)) == (False, None)
    assert after(way, page(elements=[], position=second)) == (False, None)


def test_offsets() -> None:
    way = NextNumber("offset", 0, 2, 2, "limit")
    unsized = NextNumber("offset", 0, None)

    assert way.first() == {"offset": 0, "limit": 2}
    assert after(way, page(elements=[1, 2]))[1] == {"params": {"offset": 2, "limit": 2}}
    assert after(unsized, page(elements=[1, 2, 3]))[1] == {"params": {"offset": 3}}


def test_the_last_id() -> None:
    way = NextLast(at("id"), "starting_after")

    found = after(way, page(elements=[{"id": "b"}, {"id": "a"}]))
    assert found == (True, {"params": {"starting_after": "a"}})
    assert after(way, page(elements=[])) == (False, None)


def test_more_says_whether_there_is_another_page() -> None:
    way = NextNumber("page", 1, 1, 10, None)

    assert after(way, page({"more": True}, []), MORE)[0] is True
    assert after(way, page({"more": False}, [1] * 10), MORE) == (False, None)
    assert after(None, page({"more": True}), MORE) == (True, None)
    assert after(None, page({"more": False}), MORE) == (False, None)


@pytest.mark.parametrize(
    ("way", "answer", "what"),
    [
        (NextUrl(at("next")), {"next": "https://evil.example/2"}, "another origin"),
        (NextUrl(at("next")), {"next": "http://api.example/2"}, "another origin"),
        (NextUrl(at("next")), {"next": "https://api.example:444/2"}, "another origin"),
        (NextUrl(at("next")), {"next": "//evil.example/2"}, "another origin"),
        (NextUrl(at("next")), {"next": "https://a@evil.example/"}, "another origin"),
        (NextUrl(at("next")), {"next": URL}, "points to itself"),
        (NextUrl(at("next")), {"next": "?x=1"}, "points to itself"),
        (NextUrl(at("next")), {"next": "javascript:alert(1)"}, "cannot be asked"),
        (NextUrl(at("next")), {"next": "http://["}, "cannot be asked"),
        (NextUrl(at("next")), {"next": 7}, "expected a URL at 'next', got int 7"),
        (NextToken(at("next"), "c"), {"next": [1]}, "got list"),
        (NextToken(at("next"), "c"), {"next": "x" * 9000}, "at most 8192"),
        (NextLast(at("x"), "c"), {}, "expected a text or a number at 'x' in the last"),
    ],
)
def test_what_cannot_be_followed_is_told_by_the_name_of_its_option(
    way: NextPage, answer: Any, what: str
) -> None:
    with pytest.raises(BadAnswerError, match=r"^next[.:\w]*") as caught:
        after(way, page(answer))

    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_that_leads_to_the_same_page_is_told() -> None:
    way = NextToken(at("next"), "cursor")
    position = {"params": {"cursor": "t"}}

    with pytest.raises(BadAnswerError, match="the same one again"):
        after(way, page({"next": "t"}, position=position))


def test_more_without_a_way_on_is_told() -> None:
    with pytest.raises(BadAnswerError, match="since more says so at 'more'"):
        after(NextToken(at("next"), "c"), page({"more": True}), MORE)


@pytest.mark.parametrize("said", [None, "yes", 1, []])
def test_more_that_is_neither_true_nor_false_is_told(said: Any) -> None:
    with pytest.raises(BadAnswerError, match=r"^more: expected true or false"):
        after(NextToken(at("next"), "c"), page({"more": said}), MORE)

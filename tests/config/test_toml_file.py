"""Where the keys of a TOML file stand."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from actors.config.toml_file import KeyPath, places

FILE = '''
every_s = 1   # [[fetcher]]
text = """
[[fetcher]]
name = 3
"""
"odd key" = '\'
[[fetcher]]
name = "a"
options = { url = "x", headers = { A = [1, "]"] } }
[[fetcher]]
name = "b"
[fetcher.options]
url = "y"
[[fetcher.more]]
k = 1
[[fetcher.more]]
list = [
  1, # one
  [2,
   3]]
dotted.key = 1979-05-27
'''


def test_every_key_is_found_at_its_line() -> None:
    assert places(FILE) == {
        ("every_s",): 2,
        ("text",): 3,
        ("odd key",): 7,
        ("fetcher",): 8,
        ("fetcher", 0): 8,
        ("fetcher", 0, "name"): 9,
        ("fetcher", 0, "options"): 10,
        ("fetcher", 0, "options", "url"): 10,
        ("fetcher", 0, "options", "headers"): 10,
        ("fetcher", 0, "options", "headers", "A"): 10,
        ("fetcher", 0, "options", "headers", "A", 0): 10,
        ("fetcher", 0, "options", "headers", "A", 1): 10,
        ("fetcher", 1): 11,
        ("fetcher", 1, "name"): 12,
        ("fetcher", 1, "options"): 13,
        ("fetcher", 1, "options", "url"): 14,
        ("fetcher", 1, "more"): 15,
        ("fetcher", 1, "more", 0): 15,
        ("fetcher", 1, "more", 0, "k"): 16,
        ("fetcher", 1, "more", 1): 17,
        ("fetcher", 1, "more", 1, "list"): 18,
        ("fetcher", 1, "more", 1, "list", 0): 19,
        ("fetcher", 1, "more", 1, "list", 1): 20,
        ("fetcher", 1, "more", 1, "list", 1, 0): 20,
        ("fetcher", 1, "more", 1, "list", 1, 1): 21,
        ("fetcher", 1, "more", 1, "dotted"): 22,
        ("fetcher", 1, "more", 1, "dotted", "key"): 22,
    }


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    """Every place in what tomllib made of a file."""
    found = {path} if path else set()
    if isinstance(value, dict):
        for key, each in value.items():
            found |= paths(each, (*path, key))
    if isinstance(value, list):
        for number, each in enumerate(value):
            found |= paths(each, (*path, number))
    return found


def test_what_tomllib_reads_is_found_and_nothing_else() -> None:
    assert places(FILE).keys() == paths(tomllib.loads(FILE))


@given(st.text(alphabet="[]{}=.,#\"'\\ab1 \n", max_size=60))
def test_no_text_holds_it_up_and_good_toml_is_read_as_tomllib_does(text: str) -> None:
    found = places(text)

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert found.keys() == paths(content)

from __future__ import annotations

import json
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadJsonError
from domain.strict_json import parse

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_python_writes_is_read_back(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary() | st.text('[]{}",:\\u0189adeEfN-. ').map(str.encode))
def test_any_bytes_are_a_value_or_a_named_error(body: bytes) -> None:
    try:
        value = parse(body)
    except BadJsonError:
        return
    assert value == json.loads(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "a fault at character 0"),
        (b"{", "a fault at character 1"),
        (b"1 2", "a fault at character 2"),
        (b"NaN", "NaN, which is not a JSON number"),
        (b"[Infinity]", "Infinity, which is not"),
        (b"[-Infinity]", "-Infinity, which is not"),
        (b"1e999", "'1e999', which is too large for a float"),
        (b"-1e999", "'-1e999', which is too large"),
        (b"1" + b"0" * 999 + b".0", "which is too large for a float"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        (b'[{"a": {"b": 1, "\\u0062": 2}}]', "the key 'b' twice"),
        (b"[" * 65 + b"]" * 65, "more than 64 nested brackets"),
        (b"[" * 500_000, "more than 64 nested brackets"),
        (b'{"a":' * 500_000, "more than 64 nested brackets"),
        (b"9" * 4301, "an integer of 4301 digits"),
        (b"-" + b"9" * 4301, "an integer of 4301 digits"),
        (b'"\xff"', "invalid UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "invalid UTF-8 at byte 1"),
        (b'["\\ud800"]', "a lone surrogate"),
        (b'{"\\uDFFF": 1}', "a lone surrogate"),
        (b"\xef\xbb\xbf1", "a fault at character 0: .*BOM"),
        ("1".encode("utf-16"), "invalid UTF-8 at byte 0"),
        (b'"a\nb"', "a fault at character 2"),
        (b"\x00", "a fault at character 0"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_a_reason(
    body: bytes, reason: str
) -> None:
    with pytest.raises(BadJsonError, match=reason) as caught:
        parse(body)

    assert caught.value.body == body[:65536]
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[" * 64 + b"]" * 64, None),
        (b'"' + b"[" * 999 + b'"', "[" * 999),
        (b'"\\"[[["', '"[[['),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"9" * 4300, 10**4300 - 1),
        (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
        (b" 1e308 ", 1e308),
    ],
)
def test_what_only_looks_bad_is_read(body: bytes, value: object) -> None:
    got = parse(body)

    assert value is None or got == value


@pytest.mark.parametrize(
    "body",
    [
        b'"' + b'\\"' * 500_000,
        b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b',"0":1}',
        b"9" * 1_000_000,
    ],
    ids=["escapes", "keys", "digits"],
)
def test_no_body_takes_long_to_refuse(body: bytes) -> None:
    began = time.process_time()

    with pytest.raises(BadJsonError):
        parse(body)

    # Of the processor, since the machine may have much else to do. What scans a
    # body again from each of its quotes takes minutes.
    assert time.process_time() - began < 3


def test_the_limit_on_digits_holds_where_pythons_own_is_lifted() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(BadJsonError, match="an integer of 4301 digits"):
            parse(b"9" * 4301)
    finally:
        sys.set_int_max_str_digits(before)

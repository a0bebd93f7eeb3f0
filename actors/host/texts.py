"""Text of others' making, made fit for a journal, a terminal and a message.

Nothing here raises, whatever the user's classes do: what describes an error must
not be the next one. (What makes JSON does, where there is none.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def plain(text: str) -> str:
    """The text on one line, each character that is no sign of its own spelt out.

    An escape sequence in a job would else move the cursor, colour what follows,
    or name the window; a line's end would begin a line that nobody wrote.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


_name_of = type.__dict__["__name__"].__get__


def encodable(text: str) -> str:
    """The text with what UTF-8 has no form for (a lone surrogate) spelled out."""
    # Not ``text.encode``: a subclass may have made something else of it.
    return str.encode(text, errors="backslashreplace").decode()


def class_name(value: Any) -> str:
    """The name of a value's class, whatever its metaclass says."""
    return encodable(_name_of(type(value)))


def text_of(value: Any) -> str:
    """The value's ``str()``, even where it cannot be had."""
    try:
        return encodable(str(value))
    except BaseException:  # noqa: BLE001 - the user's class, which may sys.exit()
        return "its text cannot be had"


def line_of(error: BaseException) -> str:
    """``ClassName: message``."""
    return f"{class_name(error)}: {text_of(error)}"


def plain_json(text: str) -> str:
    """JSON whose letters are themselves; what is no sign of its own is spelt out.

    Beside what JSON spells out by itself those are the marks that turn the direction
    of writing, the control characters beyond ASCII, and lone surrogates.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1]
        for each in text
    )


def json_pieces(
    default: Callable[[Any], Any] | None = None, *, ascii_only: bool = True
) -> Callable[[Any, int], Sequence[str]]:
    """Return what makes the pieces of `json.dumps`, for small values by the thousand.

    The standard library makes a new encoder for each value, which takes as long as
    to encode one. A value that holds itself is a RecursionError. The second argument
    is 0.

    Args:
        default: As there.
        ascii_only: As ``ensure_ascii`` there.
    """
    plain_encoder = json.JSONEncoder(default=default, ensure_ascii=ascii_only)
    encoder = json.encoder
    quote = encoder.encode_basestring_ascii if ascii_only else encoder.encode_basestring
    try:
        encode: Callable[[Any, int], Sequence[str]] = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            *(None, plain_encoder.default, quote),
            *(None, ": ", ", ", False, False, True),
        )
        encode({}, 0)
    except (AttributeError, TypeError):  # one without it, or of another time
        return lambda value, _: (plain_encoder.encode(value),)
    return encode

"""Text of others for a terminal: what jobs, errors and names are made of."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text on one line, each character that is no sign of its own spelt out.

    An escape sequence in a job would else move the cursor, colour what follows,
    or name the window.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )

"""Values as an error's text shows them: short, whatever they are."""

import reprlib

__all__ = ["short", "text"]


def short(value: object) -> str:
    """Return a value's type and a part of it."""
    return f"{type(value).__name__} {text(value)}"


def text(value: object) -> str:
    """Return a part of a value."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # CPython refuses to print an int of more than 4300 digits.
        return "of too many digits"

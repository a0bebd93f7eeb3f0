"""Text of others' making, made fit for a journal, a terminal and a message."""

from __future__ import annotations


def encodable(text: str) -> str:
    """The text with what UTF-8 has no form for (a lone surrogate) spelled out."""
    return text.encode(errors="backslashreplace").decode()


def line_of(error: BaseException) -> str:
    """``ClassName: message``, even where the class cannot say its message."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the user's class
        message = "its text cannot be had"
    return encodable(f"{type(error).__name__}: {message}")

"""What an exception of the user's comes to: text, and what it says of a retry."""

from __future__ import annotations

import traceback

from actors.demand.job import Failure
from actors.host.redaction import redact
from actors.host.texts import encodable, line_of
from actors.user_code import error_attributes

#: Of an error's line so many characters are kept: it travels, is logged, and is
#: kept with each attempt.
LONGEST_ERROR = 8 * 1024
LONGEST_TRACE = 64 * 1024


def describe(error: BaseException) -> Failure:
    """Turn an exception into text and what it says about another attempt.

    Never raises, whatever the exception's class does.
    """
    return Failure(
        error=masked(line_of(error), LONGEST_ERROR),
        permanent=error_attributes.attribute(error, "permanent") is True,
        retry_after_s=error_attributes.retry_after_s(error),
        trace=_trace_of(error),
    )


def masked(text: str, longest: int) -> str:
    """The text without the secrets in it; of a long one the beginning, and how long."""
    if len(text) <= longest:
        return redact(text)
    # More than is kept is looked at: half a secret is not known as one.
    return f"{redact(text[: 2 * longest])[:longest]}... ({len(text)} characters)"


def _trace_of(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error, limit=-8)
    except BaseException:  # noqa: BLE001 - it asks the exception, and those before
        lines = _places_of(error)
    # The last lines are the error's own text, which may be as long as it likes.
    text = "".join(masked(encodable(line), LONGEST_ERROR) for line in lines)
    return masked(text, LONGEST_TRACE)


def _places_of(error: BaseException) -> list[str]:
    try:
        trace = vars(BaseException)["__traceback__"].__get__(error)
        return traceback.format_tb(trace, limit=-8)
    except BaseException:  # noqa: BLE001 - a source file that cannot be read
        return []

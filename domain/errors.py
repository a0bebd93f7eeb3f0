"""What can go wrong between asking for a job and having processed it.

Every error pickles with all its attributes, since it crosses processes, and
no message holds the credentials or the query string of a URL.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

__all__ = [
    "KEPT_BODY_BYTES",
    "BadAnswerError",
    "BadJobError",
    "BadJsonError",
    "BadNumberError",
    "BadOptionError",
    "BadStatusError",
    "BadUrlError",
    "CutOffError",
    "DomainError",
    "GarbledError",
    "RedirectedError",
    "SourceError",
    "ThrottledError",
    "TimedOutError",
    "TooLargeError",
    "UnreachableError",
    "short",
    "text",
]

#: Bytes of an unusable answer kept with its error: enough to recover a job by
#: hand, small enough to be logged and sent between processes.
KEPT_BODY_BYTES = 64 * 1024


class DomainError(Exception):
    """A job could not be fetched or processed.

    Attributes:
        permanent: Trying again with the same input cannot help.
        retry_after_s: How long the other side asked to be left alone, if it did.
    """

    permanent: bool = False
    retry_after_s: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with args alone, which fails for any
        # subclass with a required keyword.
        return _rebuild, (type(self), self.args, self.__dict__)


class SourceError(DomainError):
    """The API could not be asked, or its answer cannot be used.

    Attributes:
        body: What was served, decoded, up to `KEPT_BODY_BYTES`: the API may have
            forgotten the job in it, so this can be its only copy.
        unknown_outcome: The API may have handed out a job that never arrived.
    """

    unknown_outcome: bool = False

    def __init__(self, message: str, *, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = bytes(body[:KEPT_BODY_BYTES])


class BadUrlError(SourceError, ValueError):
    """The URL is not one that may be asked; nothing was sent."""

    permanent = True


class BadOptionError(SourceError, ValueError):
    """An option of the source is not what it may be; nothing was sent."""

    permanent = True


class UnreachableError(SourceError):
    """No connection came about, so the request was never sent and no job is lost."""


class TimedOutError(SourceError):
    """The request was sent but no whole answer came in time: a job may be lost."""

    unknown_outcome = True


class CutOffError(SourceError):
    """The connection died after the request was sent: a job may be lost."""

    unknown_outcome = True


class GarbledError(SourceError):
    """The answer is not HTTP, or its compression cannot be undone."""

    unknown_outcome = True


class TooLargeError(SourceError):
    """The answer is larger than allowed; the rest was not read."""

    unknown_outcome = True


class RedirectedError(SourceError):
    """The API pointed elsewhere, and redirects are not followed.

    There is a job to lose only in a body that is no note for people (HTML): such a
    body is kept, and one that did not arrive is an unknown outcome.

    Attributes:
        location: Where to, as the API said it; it may hold secrets.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: bytes = b"",
        unknown_outcome: bool = False,
        location: str | None = None,
    ) -> None:
        super().__init__(message, body=body)
        self.status = status
        self.unknown_outcome = unknown_outcome
        self.location = location


#: Another protocol, whatever that says; and gateways that have no answer, among them
#: those of large content networks (520, 524).
_ON_THE_WAY = (101, 502, 504, 520, 524)


class BadStatusError(SourceError):
    """The API answered with a status that holds no job.

    A gateway's 502 or 504, and a content network's 520 or 524, is an unknown outcome,
    though: what is behind it may have got the request and answered with a job, which
    was not passed on.

    Attributes:
        headers: Of the answer; they may hold secrets.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after_s: float | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, body=body)
        self.status = status
        self.retry_after_s = retry_after_s
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.unknown_outcome = status in _ON_THE_WAY


class BadJsonError(SourceError):
    """The answer is not JSON in the strict sense of `domain.strict_json`."""


class BadJobError(SourceError):
    """The answer is JSON, but not a job."""


class BadAnswerError(SourceError):
    """The answer is not what the options of the source say; the text names one."""


class ThrottledError(SourceError):
    """The source is to be left alone for a while, and nothing is wrong.

    Attributes:
        throttled: What says so to whoever called.
    """

    throttled = True

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, body: bytes = b""
    ) -> None:
        super().__init__(message, body=body)
        self.retry_after_s = retry_after_s


class BadNumberError(DomainError):
    """The job holds no number with a square root."""

    permanent = True


def _rebuild(
    cls: type[DomainError], args: tuple[Any, ...], state: dict[str, Any]
) -> DomainError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


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

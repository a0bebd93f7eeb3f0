"""Which URLs may be asked, and how one is shown."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import (
    SplitResult,
    quote,
    unquote_plus,
    urlencode,
    urlsplit,
    urlunsplit,
)

from .errors import BadUrlError

__all__ = [
    "below",
    "checked",
    "origin",
    "segment",
    "shown",
    "with_params",
    "with_query",
]

# Readers of URLs disagree on these: some drop them, some end the host there.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")


def checked(url: str) -> SplitResult:
    """Split a URL that may be asked.

    Raises:
        BadUrlError: It is no http or https URL with a host. The message names
            what is wrong and holds no part of the URL but the scheme.
    """
    if not isinstance(url, str):
        raise BadUrlError(f"expected a URL as str, got {type(url).__name__}")
    return _checked(url)


@lru_cache(maxsize=128)
def _checked(url: str) -> SplitResult:
    # A source is asked the same again and again.
    if _AMBIGUOUS.search(url):
        raise BadUrlError("the URL has a space, control character or backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Its message may quote the part with the password.
        raise BadUrlError("the URL cannot be split into its parts") from None
    if parts.scheme not in {"http", "https"}:
        raise BadUrlError(
            f"expected a URL such as http://127.0.0.1:4567, "
            f"got one with the scheme {parts.scheme[:20]!r}"
        )
    if not parts.hostname:
        raise BadUrlError("the URL has no host")
    if port == 0:
        raise BadUrlError("the URL has port 0, expected 1 to 65535")
    return parts


def below(base: str, name: str) -> str:
    """Return the URL of ``name`` below a server's base URL; a query string stays.

    Raises:
        BadUrlError: ``base`` may not be asked.
    """
    parts = checked(base)
    path = f"{parts.path.rstrip('/')}/{name}"
    return urlunsplit(parts._replace(path=path, fragment=""))


def segment(job_id: object) -> str:
    """Return an id as it stands in a URL, as one segment of its path.

    Raises:
        BadUrlError: It would lead to another place than its own.
    """
    text = str(job_id)
    if text in {"", ".", ".."}:
        raise BadUrlError(f"the id {text!r} would lead to another place than its own")
    return quote(text, safe="")


def with_query(url: str, name: str, value: object) -> str:
    """Return a URL with one parameter more in its query string.

    Raises:
        BadUrlError: It may not be asked.
    """
    parts = checked(url)
    query = "&".join(filter(None, [parts.query, urlencode({name: value})]))
    return urlunsplit(parts._replace(query=query))


def shown(url: str) -> str:
    """Return a URL as messages may show it: no credentials, no query string.

    Raises:
        BadUrlError: It may not be asked.
    """
    parts = checked(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def origin(url: str) -> tuple[str, str, int]:
    """Return whose URL it is: its scheme, host and port.

    Raises:
        BadUrlError: It may not be asked.
    """
    parts = checked(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def with_params(url: str, params: Mapping[str, object]) -> str:
    """Return a URL with these parameters, in place of its own of the same name.

    A list comes to a parameter for each element.

    Raises:
        BadUrlError: It may not be asked.
    """
    if not params:
        return url
    parts = checked(url)
    kept = [
        each
        for each in parts.query.split("&")
        if each and unquote_plus(each.partition("=")[0]) not in params
    ]
    written = {key: _written(value) for key, value in params.items()}
    added = urlencode(written, doseq=True)
    query = "&".join([*kept, *([added] if added else [])])
    return urlunsplit(parts._replace(query=query, fragment=""))


def _written(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return [_written(each) for each in value] if isinstance(value, list) else value

"""Which URLs may be asked, and how one is shown."""

import re
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from .errors import BadUrlError

__all__ = ["below", "checked", "shown", "with_query"]

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

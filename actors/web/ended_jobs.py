"""The page's list of jobs that have ended: what may be asked, and how much answered."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from actors.demand.job import word_of
from actors.host.redaction import masked, redact
from actors.journal.selection import ENDS, Selection, SelectionError, age_of, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.journal.view import JournalView

#: Jobs in one answer.
LISTED = 100
#: How long a search may look, in seconds; it says so where that was not enough.
LOOKED_S = 2.0
#: Characters of what is asked for, and of a payload or a result in the list.
LONGEST_WORD, SHOWN = 1000, 200
#: Of the number of an end.
_DIGITS = 19

WORDS = ("state", "fetcher", "since", "text", "where", "before")
NOTHING = {"jobs": [], "looked_at": 0, "more": False, "before": None}
_COLUMNS = ("fetcher", "id", "state", "attempt", "processor", "ended_at", "duration_s")


def find_ended(
    view: JournalView, asked: Mapping[str, Any], clock: Callable[[], float]
) -> dict[str, Any]:
    """Find jobs that have ended, the latest first, as much as fits.

    Args:
        view: The journal.
        asked: Some of ``WORDS``; an empty one is for all.
        clock: Counts the seconds.

    Returns:
        The ``jobs``, how many were ``looked_at``, and whether there is perhaps
        ``more``: that is asked for with ``before`` from this answer.

    Raises:
        SelectionError: Something of that is no word, or none that can be.
    """
    words = _words(asked)
    selection, text = _selection(words), words["text"].casefold()
    before = int(words["before"]) if words["before"] else None
    until = clock() + LOOKED_S
    jobs: list[dict[str, Any]] = []
    looked_at, more = 0, False
    for found, end in selection.ended(view, last_first=True, beyond=before):
        for job in found:
            if more := len(jobs) == LISTED or clock() >= until:
                break
            looked_at, before = looked_at + 1, job.get("seq")
            shown = _shown(job)
            if text in _searched(shown) and selection.is_true_of(job):
                jobs.append(_in_short(shown))
        if more:
            break
        before = end
        if more := clock() >= until:
            break
    told = {"jobs": jobs, "looked_at": looked_at, "more": more}
    return told | {"before": before if more else None}


def _words(asked: Mapping[str, Any]) -> dict[str, str]:
    words = {name: asked.get(name) or "" for name in WORDS}
    for name, word in words.items():
        if not isinstance(word, str) or len(word) > LONGEST_WORD:
            raise SelectionError(f"{name} must be text of {LONGEST_WORD} characters")
    before = words["before"]
    if before and not (before.isascii() and before.isdigit() and len(before) < _DIGITS):
        raise SelectionError("before must be what an answer says of itself")
    if words["state"] not in ("", *ENDS):
        raise SelectionError(f"state must be one of {', '.join(ENDS)}")
    return words


def _selection(words: Mapping[str, str]) -> Selection:
    since = None
    if words["since"]:
        try:
            since = time.time() - age_of(words["since"].strip())
        except SelectionError as error:
            raise SelectionError(f"since {error}") from None
    where = compiled(words["where"]) if words["where"] else None
    return Selection(words["state"] or None, words["fetcher"] or None, since, where)


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    """What anybody may see of it: what is masked is not found by its text either."""
    shown = {name: job.get(name) for name in _COLUMNS}
    for name in ("payload", "result"):
        value = masked(job.get(name))
        shown[name] = "" if value is None else _in_json(value)
    return shown | {"error": redact(job.get("error") or "")}


def _in_json(value: Any) -> str:
    return redact(json.dumps(value, ensure_ascii=False))


def _searched(shown: dict[str, Any]) -> str:
    columns = ("fetcher", "processor", "payload", "result", "error")
    words = [word_of(shown["id"]), *(str(shown[name] or "") for name in columns)]
    return "\n".join(words).casefold()


def _in_short(shown: dict[str, Any]) -> dict[str, Any]:
    cut = {name: shown[name][:SHOWN] for name in ("payload", "result", "error")}
    return shown | cut

"""Job ids, and the words that people name them by.

An id is an integer or a text, and ``17`` is another than ``"17"``. A person types a
word: ``17`` is the integer, or where there is none the text; ``"17"``, with the
quotes, is the text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.demand.messages import JobId

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")


def id_of(payload: Any) -> JobId | None:
    """The source's own ``id`` of a job, if it has one."""
    job_id = payload.get("id") if type(payload) is dict else None
    return job_id if type(job_id) in (int, str) else None


def odd_id_of(payload: Any) -> str | None:
    """What the ``id`` of a job is that is none of those; None if there is none."""
    if type(payload) is not dict or (job_id := payload.get("id")) is None:
        return None
    return _ODD.get(type(job_id))


_ODD: dict[type, str] = {
    bool: "true or false",
    float: "a number with a point",
    list: "an array",
    dict: "an object",
}


def word_of(job_id: JobId) -> str:
    """The word that names this id and no other."""
    if isinstance(job_id, int):
        return str(job_id)
    plain = not (_INTEGER.fullmatch(job_id) or job_id.startswith('"'))
    return job_id if plain else json.dumps(job_id)


def named_by(word: str) -> list[JobId]:
    """The ids that a word may name: the first that is there is meant."""
    ids: list[JobId] = [word]
    if _INTEGER.fullmatch(word):
        ids.insert(0, int(word))
    elif word.startswith('"'):
        try:
            text = json.loads(word)
        except ValueError:
            return ids
        ids.insert(0, text)
    return ids

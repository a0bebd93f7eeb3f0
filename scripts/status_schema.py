"""The JSON schema of what ``status --json`` prints, made from the status's types."""

from __future__ import annotations

import inspect
import json
import re
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from actors.demand.job import AccountingCounts
from actors.demand.producer import KindCounts
from actors.host.logs import Event
from actors.status.model import (
    FetcherBasics,
    FetcherDetails,
    MemberStatus,
    StandbyStatus,
    SystemStatus,
    Tallied,
)

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
_PLAIN[NoneType] = "null"
#: Where the rest of the keys are explained: before 3.12 a TypedDict forgets its bases.
_BASES = {
    "FetcherStatus": (FetcherBasics, FetcherDetails),
    "FetcherTally": (Tallied,),
}
#: What the model imports for its types only.
_NAMES = {each.__name__: each for each in (AccountingCounts, KindCounts, Event)}


def schema() -> dict[str, Any]:
    """The schema; each type of the model is a definition."""
    definitions: dict[str, Any] = {}
    answers = (SystemStatus, MemberStatus, StandbyStatus)
    either = [_of(each, definitions) for each in answers]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What lowtide status --json prints",
        "anyOf": either,
        "$defs": dict(sorted(definitions.items())),
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is dict:
        values = _of(arguments[1], definitions)
        return {"type": "object", "additionalProperties": values}
    if origin in (Union, UnionType) or hint in _PLAIN:
        kinds = [_PLAIN[each] for each in arguments or (hint,)]
        return {"type": kinds if arguments else kinds[0]}
    name = hint.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] |= _record(hint, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _record(record: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(record, localns=_NAMES, include_extras=True)
    texts = _texts(record)
    properties = {
        key: _of(_bare(hint), definitions) | {"description": texts[key]}
        for key, hint in hints.items()
    }
    optional = {key for key, hint in hints.items() if hint is not _bare(hint)}
    return {
        "description": (inspect.getdoc(record) or "").partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": sorted(record.__required_keys__ - optional),
        "additionalProperties": False,
    }


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is NotRequired else hint


def _texts(record: Any) -> dict[str, str]:
    """What the docstrings of a type and those below it say of its keys."""
    texts: dict[str, str] = {}
    for base in _BASES.get(record.__name__, ()):
        texts |= _texts(base)
    listed = (inspect.getdoc(record) or "").partition("Attributes:\n")[2]
    for key, text in re.findall(r"^    (\w+): ((?:.|\n {8})+)", listed, re.MULTILINE):
        texts[key] = " ".join(text.replace("``", "`").split())
    return texts


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))

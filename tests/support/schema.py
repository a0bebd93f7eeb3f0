"""A small part of JSON Schema: what a value has that its schema does not allow."""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list, tuple),
    "object": (dict,),
}


def mistakes(value: Any, schema: dict[str, Any]) -> list[str]:
    """Each mistake with its place."""
    return list(_mistakes(value, schema, schema, "$"))


def _mistakes(
    value: Any, part: dict[str, Any], whole: dict[str, Any], place: str
) -> list[str]:
    if "$ref" in part:
        part = whole["$defs"][part["$ref"].rpartition("/")[2]]
    if "anyOf" in part:
        each = [_mistakes(value, one, whole, place) for one in part["anyOf"]]
        # What is meant is the one whose keys these are.
        return min(each, key=lambda found: (_at(place, found), len(found)))
    if "enum" in part and value not in part["enum"]:
        return [f"{place}: {value!r} is none of {part['enum']}"]
    kinds = part.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [f"{place}: {value!r} is no {' nor '.join(kinds)}"]
    if isinstance(value, dict):
        return _of_object(value, part, whole, place)
    if "array" in kinds:
        return [
            mistake
            for i, one in enumerate(value)
            for mistake in _mistakes(one, part["items"], whole, f"{place}[{i}]")
        ]
    return []


def _of_object(
    value: dict[str, Any], part: dict[str, Any], whole: dict[str, Any], place: str
) -> list[str]:
    found = [
        f"{place}: there is no {key}"
        for key in part.get("required", ())
        if key not in value
    ]
    known = part.get("properties", {})
    for key, each in value.items():
        one = known.get(key, part["additionalProperties"])
        if one is False:
            found.append(f"{place}: {key} is not known")
        else:
            found += _mistakes(each, one, whole, f"{place}.{key}")
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _at(place: str, found: list[str]) -> int:
    return sum(each.startswith(f"{place}: ") for each in found)

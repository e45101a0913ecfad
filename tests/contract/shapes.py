"""The recorded shapes of answers, and whether an answer has one.

A shape names a JSON type (``"int"``), or is an object or a list of shapes. Answers may have more
members than their shape.
"""

import re

from tests.contract.vectors import load

SHAPES = load("http/shapes.json").get("shapes", {})
"""By the kind of answer."""

_TYPES = {
    "int": int,
    "float": (int, float),
    "str": str,
    "bool": bool,
    "null": type(None),
}
_FAILED = {"error": "str", "gen_count": "int", "score": "null", "seed": "int", "truncated": "bool"}


def shape(config):
    """What a request with these settings is answered with."""
    if config.get("plan_only"):
        # recorded as null: ours has an id even where none was sent
        return SHAPES["planned"] | {"request_id": "str"}
    if config.get("num_candidates", 1) == 1:
        return SHAPES["single"]
    # no failure was recorded
    several = SHAPES["candidates"]
    summary = several["summary"] | {"failures": [{"seed": "int", "reason": "str"}]}
    return several | {"candidates": [*several["candidates"], _FAILED], "summary": summary}


def mismatches(value, shape, place="answer"):
    """Where a value differs from a shape; nothing if it does not."""
    if isinstance(shape, str):
        fits = isinstance(value, _TYPES[shape]) and isinstance(value, bool) == (shape == "bool")
        return [] if fits else [f"{place} is {value!r}, not of type {shape}"]
    if not isinstance(value, type(shape)):
        return [f"{place} is {value!r}, not a {type(shape).__name__}"]
    inside = _in_list if isinstance(shape, list) else _in_object
    return list(inside(value, shape, place))


def _in_list(value, shapes, place):
    """An item has any of the shapes that were seen in the list; an empty list tells nothing."""
    for index, item in enumerate(value if shapes else ()):
        found = [mismatches(item, shape, f"{place}[{index}]") for shape in shapes]
        yield from min(found, key=len)


def _in_object(value, shape, place):
    """A key that is ``<index>``, or a number, stands for any number of numbers."""
    (of_any,) = [inner for key, inner in shape.items() if _is_index(key)] or [None]
    if of_any is not None:
        yield from (f"{place} has the key {key!r}" for key in value if not key.isdecimal())
        shape = dict.fromkeys(value, of_any)
    for name, inner in shape.items():
        if name in value:
            yield from mismatches(value[name], inner, f"{place}.{name}")
        else:
            yield f"{place} has no {name}"


def _is_index(key):
    return key == "<index>" or re.fullmatch(r"\d+", key)

"""The kinds of members scores and requests are made of, as a reader of JSON takes them.

Annotations only: building a record in Python checks nothing. JSON knows a single kind of number, so
its reader hands over every number without a fraction as an int, and these types can be strict.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, FailFast, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")

MAX_INT32 = 2**31 - 1


def _zero_or_one(value: object) -> object:
    """The flags of scripting languages that have no booleans."""
    return bool(value) if type(value) is int and value in {0, 1} else value


def _track_type(value: str) -> str:
    if value not in {"melodic", "drum"}:
        raise PydanticCustomError("choice", 'must be "melodic" or "drum"')
    return value


def _bar_number(key: object) -> object:
    """JSON has only strings as keys; decimal ones are numbers."""
    if isinstance(key, str) and re.fullmatch(r"-?[0-9]{1,18}", key):
        return int(key)
    return key


def _meter_index(controls: dict[str, Any]) -> dict[str, Any]:
    if type(controls.get("time_signature", 0)) is not int:
        raise PydanticCustomError("meter", "has a time_signature that is not an integer")
    return controls


Integer = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True), BeforeValidator(_zero_or_one)]
Ticks = Annotated[Integer, Field(ge=-MAX_INT32, le=MAX_INT32)]
TrackType = Annotated[
    Text,
    AfterValidator(_track_type),
    Field(json_schema_extra={"enum": ["melodic", "drum"]}),
]
BarNumber = Annotated[Integer, BeforeValidator(_bar_number)]
Controls = Annotated[dict[str, Any], AfterValidator(_meter_index)]
# a list stops at its first wrong item: a body of a million wrong items is one error, not a million
Many = Annotated[list[T], FailFast()]

"""The kinds of members scores and requests are made of, as a reader of JSON takes them.

Annotations only: building a record in Python checks nothing. JSON knows a single kind of number, so
its reader hands over every number without a fraction as an int, and these types can be strict.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    FailFast,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

K = TypeVar("K")
T = TypeVar("T")

MAX_INT32 = 2**31 - 1
_BAR_NUMBER = r"0|-?[1-9][0-9]{0,17}"
_PORTION = 10_000


def _zero_or_one(value: object) -> object:
    """The flags of scripting languages that have no booleans."""
    return bool(value) if type(value) is int and value in {0, 1} else value


def _track_type(value: str) -> str:
    if value not in {"melodic", "drum"}:
        raise PydanticCustomError("choice", 'must be "melodic" or "drum"')
    return value


def _bar_number(key: object) -> object:
    """JSON has only strings as keys; those that are spelled as JSON spells integers are numbers."""
    if isinstance(key, str):
        if not re.fullmatch(_BAR_NUMBER, key):
            raise PydanticCustomError("bar", 'must be the number of a bar, such as "0" or "12"')
        return int(key)
    return key


def _meter_index(controls: dict[str, Any]) -> dict[str, Any]:
    if type(controls.get("time_signature", 0)) is not int:
        raise PydanticCustomError("meter", "has a time_signature that is not an integer")
    return controls


def _in_portions(items: Any, check: ValidatorFunctionWrapHandler) -> list[Any]:  # noqa: ANN401 - anything that JSON holds
    """Check a long list in portions: between them other threads get their turn."""
    if not isinstance(items, list) or len(items) <= _PORTION:
        checked: list[Any] = check(items)
        return checked
    checked = []
    for start in range(0, len(items), _PORTION):
        end = start + _PORTION
        try:
            checked += check(items[start:end])
        except ValidationError:
            checked = check(items[:end])  # raises it again, with its place in the whole list
    return checked


def _one_by_one(members: Any, check: ValidatorFunctionWrapHandler) -> dict[Any, Any]:  # noqa: ANN401 - as above
    """Check an object up to its first wrong member."""
    parts = [{name: members[name]} for name in members] if isinstance(members, dict) else [members]
    return {name: value for part in parts for name, value in check(part).items()}


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
# lists and objects stop at their first mistake: a million of them are one error, not a million
Many = Annotated[list[T], FailFast(), WrapValidator(_in_portions)]
Members = Annotated[dict[K, T], WrapValidator(_one_by_one)]

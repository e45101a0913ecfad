"""How validation names a member of a request, shows its value and reads its type."""

from __future__ import annotations

import json
import re
import reprlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from numbers import Integral
from typing import Any, NoReturn

from midigpt.errors import RequestValidationError

_LONGEST = 80
_LONGEST_NAME = 40
_PLAIN = re.compile(rf"[\w-]{{1,{_LONGEST_NAME}}}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the request something is, as messages tell it.

    Attributes:
        path: dotted path from the request, such as ``tracks[0].bars[2]``.
        track: id of the track it is about.
        bar: the bar of that track it is about.
    """

    path: str
    track: int | None = None
    bar: int | None = None

    def at(self, member: object) -> Place:
        """A member of the object that is here."""
        return replace(self, path=f"{self.path}.{named(member)}")

    def item(self, index: int) -> Place:
        """An element of the list that is here."""
        return replace(self, path=f"{self.path}[{index}]")

    def on(self, bar: int) -> Place:
        """The same place, about one bar."""
        return replace(self, bar=bar)

    def __str__(self) -> str:
        about = [] if self.track is None else [f"track_id={shown(self.track)}"]
        about += [] if self.bar is None else [f"bar {shown(self.bar)}"]
        return f"{self.path} ({', '.join(about)})" if about else self.path


class _Short(reprlib.Repr):
    """Writes values as JSON does, and leaves out what is too long."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 40
        self.maxlevel, self.maxdict = 3, 3

    def repr_str(self, x: str, level: int) -> str:  # noqa: ARG002 - the base class's signature
        start = x[: self.maxstring]
        text = json.dumps(start, ensure_ascii=not start.isprintable())
        return text if len(text) <= self.maxstring else f"{text[: self.maxstring - 3]}..."

    def repr_bool(self, x: bool, level: int) -> str:  # noqa: ARG002 - as above
        return "true" if x else "false"

    def repr_NoneType(self, x: None, level: int) -> str:  # noqa: ARG002, N802 - as above
        return "null"

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        return self.repr_list([*x], level)


_SHORT = _Short()


def shown(value: object) -> str:
    """A value as a message repeats it: JSON, one line of at most 80 characters."""
    try:
        text = _SHORT.repr(value)
    except ValueError:  # Python refuses to print integers of more than 4300 digits
        text = "a number too long to print"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def named(member: object) -> str:
    """The name of a member as a path repeats it; in quotes if it is not a plain word."""
    plain = isinstance(member, str) and _PLAIN.fullmatch(member)
    return str(member) if plain else shown(member)


def listed(names: Iterable[object], limit: int = 60) -> str:
    """The names with commas between them; the first ``limit`` of them if there are more."""
    words = [name if isinstance(name, str) else shown(name) for name in names]
    more = [f"and {len(words) - limit} more"] if len(words) > limit else []
    return ", ".join(words[:limit] + more) or "none"


def meant(name: object, known: Iterable[str]) -> str:
    """What to add to a message about an unknown name: the known one that is most like it."""
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return ""
    close = get_close_matches(name.lower(), known, 1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def reject(place: Place, problem: str) -> NoReturn:
    """Reject the request.

    Raises:
        RequestValidationError: always.
    """
    raise RequestValidationError(f"{place} {problem}")


def require(ok: bool, place: Place, value: object, accepted: str) -> None:
    """Reject the request unless a member's value is accepted.

    Raises:
        RequestValidationError: it is not; the message says what is.
    """
    if not ok:
        reject(place, f"is {shown(value)}; it must be {accepted}")


def whole(value: object, place: Place, error: type[Exception] = TypeError) -> int:
    """An integer, or a float without a fraction, as an integer. Booleans are no numbers.

    Raises:
        error: anything else.
    """
    real = _real(value)
    if isinstance(real, float) and real.is_integer():
        return int(real)
    if not isinstance(real, int):
        raise error(f"{place} is {shown(value)}; it must be an integer")
    return real


def spelled(value: object, place: Place) -> int:
    """Such an integer, or text that spells one.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, str):
        return whole(value, place)
    try:
        return int(value)
    except ValueError:
        raise TypeError(f"{place} is {shown(value)}; it must be an integer") from None


def wholes(values: object, place: Place, error: type[Exception] = TypeError) -> list[int]:
    """A list of such integers.

    Raises:
        error: anything else.
    """
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise error(f"{place} is {shown(values)}; it must be a list of integers")
    return [
        value if type(value) is int else whole(value, place.item(index), error)
        for index, value in enumerate(values)
    ]


def number(value: object, place: Place, error: type[Exception] = TypeError) -> float:
    """A finite number as a float. Booleans are no numbers.

    Raises:
        error: anything else.
    """
    real, largest = _real(value), sys.float_info.max
    if real is None or not -largest <= real <= largest:
        raise error(f"{place} is {shown(value)}; it must be a finite number")
    return float(real)


def flag(value: object, place: Place) -> bool:
    """A boolean; the numbers 0 and 1 are understood as well.

    Raises:
        TypeError: anything else.
    """
    truth = value if isinstance(value, bool) else _real(value)
    if truth not in (0, 1):
        raise TypeError(f"{place} is {shown(value)}; it must be true or false")
    return bool(truth)


def mapping(value: object, place: Place) -> dict[Any, Any]:
    """A copy of an object.

    Raises:
        TypeError: anything else.
    """
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{place} is {shown(value)}; it must be an object")


def _real(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    return int(value) if isinstance(value, Integral) else None  # an integer of NumPy

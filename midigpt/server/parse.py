"""From the bytes of a body to a checked :class:`GenerateInput`, or to the error that says why not.

Runs off the event loop. The hooks of the JSON reader are Python functions on purpose: between two
of their calls other threads get their turn, which a reader in C would not grant. What has no hook,
and what would become more records than any music needs, is counted and refused beforehand.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pydantic import ValidationError

from midigpt.inference.reading import named
from midigpt.inference.validate_score import MAX_BARS, MAX_TRACKS
from midigpt.server.errors import ApiError, invalid, malformed
from midigpt.server.names import is_name
from midigpt.server.problems import from_validation, kind
from midigpt.server.schemas import GenerateInput
from midigpt.server.suggest import take_unknown

DEEPEST = 64
LONGEST = 2**16
"""Most notes of a bar, and most items of any list or object of a request."""
MOST_ITEMS = 2**20
"""Most items of all lists and objects of a request together."""
MOST_VALUES = 3_000_000
"""Most values in a body: more than 32 MiB of notes hold."""
MOST_OTHERS = 200_000
"""Most values that are neither numbers nor objects: more than the most bars have."""

_PIECE = 2**20
_OTHER = re.compile(rb'"\s*[,\]}]|\[|:\s*[ntf]')


def parse(body: bytes) -> tuple[GenerateInput, list[str]]:
    """Read and check a body.

    Returns:
        What was asked for, and the members of it that mean nothing here.

    Raises:
        ApiError: it is not JSON (400), has a member of the wrong type (400) or one whose value no
            checkpoint accepts (422), or holds more than is read (413, 422).
    """
    _check_amount(body)
    sent = load_json(body)
    if not isinstance(sent, dict):
        raise malformed(f"the body must be an object, got {kind(sent)}")
    try:
        return _checked(sent)
    except ApiError as error:
        given = sent.get("request_id")
        if is_name(given):
            error.request_id = given
        raise


def _checked(sent: dict[str, Any]) -> tuple[GenerateInput, list[str]]:
    _check_score_size(sent.get("score"))
    _check_request_size(sent.get("request"))
    ignored = take_unknown(sent)
    try:
        return GenerateInput.model_validate(sent), ignored
    except ValidationError as error:
        raise from_validation(error, sent) from None


def load_json(body: bytes) -> Any:  # noqa: ANN401 - anything that JSON holds
    """Read strict JSON. A number without a fraction becomes an int, however it is written.

    Raises:
        ApiError: 400, it is not strict JSON.
    """
    try:
        return json.loads(
            body.decode(),
            object_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise malformed(
            f"the body is not JSON from line {error.lineno}, column {error.colno} on"
        ) from None
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise malformed("the body is nested too deep") from None


def _object(members: dict[str, Any]) -> dict[str, Any]:
    return members


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads at most 4300 digits
        raise malformed(f"the body holds a number of {len(text)} digits") from None


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise malformed(f"the body holds {text:.40}, a number too large for JSON readers")
    return int(value) if value.is_integer() else value


def _constant(text: str) -> NoReturn:
    raise malformed(f"the body holds {text}, which is not JSON")


def _check_amount(body: bytes) -> None:
    """Refuse a body that would take long to read; it is only looked at, not read.

    Raises:
        ApiError: 413, it would.
    """
    values = others = 0
    for start in range(0, len(body), _PIECE):  # between two of them other threads get their turn
        end = start + _PIECE
        values += sum(body.count(mark, start, end) for mark in (b",", b"[", b"{"))
        others += len(_OTHER.findall(body, start, end))
        if values > MOST_VALUES or others > MOST_OTHERS:
            raise ApiError(
                413,
                "too_large",
                f"the body holds more than {MOST_VALUES} values, or more than {MOST_OTHERS} that"
                " are neither numbers nor objects",
            )


def _check_score_size(score: object) -> None:
    """Refuse a score that is too large, before each of its members becomes a record.

    Raises:
        ApiError: 422, it is.
    """
    tracks = _list(score, "tracks")
    _limit(len(tracks), MAX_TRACKS, "score.tracks", "tracks")
    all_bars = [_list(track, "bars") for track in tracks]
    _limit(sum(map(len, all_bars)), MAX_BARS, "score", "bars in all tracks")
    for t, bars in enumerate(all_bars):
        for b, bar in enumerate(bars):
            notes = len(_list(bar, "notes"))
            if notes > LONGEST:
                _limit(notes, LONGEST, f"score.tracks[{t}].bars[{b}].notes", "notes")


def _check_request_size(request: object) -> None:
    """Refuse a request that is too large or nested too deep, likewise.

    Raises:
        ApiError: it is too large (422) or nested too deep (400).
    """
    _limit(len(_list(request, "tracks")), MAX_TRACKS, "request.tracks", "prompts")
    if isinstance(request, (dict, list)):
        _check_items(request, "request", DEEPEST, MOST_ITEMS)


def _check_items(parent: dict[str, Any] | list[Any], path: str, levels: int, room: int) -> int:
    """Check what a list or an object holds; how much room is left after it."""
    if not levels:
        raise malformed(f"request is nested deeper than {DEEPEST} levels", "request")
    _limit(len(parent), LONGEST, path, "items")
    room -= len(parent)
    if room < 0:
        raise invalid(f"request has more than {MOST_ITEMS} items in all lists and objects")
    members = parent.items() if isinstance(parent, dict) else enumerate(parent)
    for name, child in members:
        if isinstance(child, (dict, list)):
            step = f".{named(name)}" if isinstance(parent, dict) else f"[{name}]"
            room = _check_items(child, path + step, levels - 1, room)
    return room


def _list(value: object, member: str) -> list[Any]:
    """A list in an object; what is no list is left for the check of types to refuse."""
    items = value.get(member) if isinstance(value, dict) else None
    return items if isinstance(items, list) else []


def _limit(count: int, most: int, path: str, what: str) -> None:
    if count > most:
        raise invalid(f"{path} has {count} {what}; it must have at most {most}", path)

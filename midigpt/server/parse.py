"""From the bytes of a body to a checked :class:`GenerateInput`, or to the error that says why not.

Runs off the event loop. The hooks of the JSON reader are Python functions on purpose: between two
of their calls other threads get their turn, which a reader in C would not grant.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import TypeAdapter, ValidationError

from midigpt.inference.reading import shown
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.score import Bar, Score, Track
from midigpt.server.errors import ApiError, malformed
from midigpt.server.problems import from_validation, kind
from midigpt.server.schemas import GenerateInput, is_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEEPEST = 64
_MOST_NAMED = 20


def parse(body: bytes) -> tuple[GenerateInput, list[str]]:
    """Read and check a body.

    Returns:
        What was asked for, and the members of it that mean nothing here.

    Raises:
        ApiError: it is not JSON (400), has a member of the wrong type (400), or one whose value no
            checkpoint accepts (422).
    """
    sent = load_json(body)
    if not isinstance(sent, dict):
        raise malformed(f"the body must be an object, got {kind(sent)}")
    try:
        return _checked(sent)
    except ApiError as error:
        given = sent.get("request_id")
        if is_request_id(given):
            error.request_id = given
        raise


def _checked(sent: dict[str, Any]) -> tuple[GenerateInput, list[str]]:
    if _too_deep(sent.get("request")):
        raise malformed(f"request is nested deeper than {DEEPEST} levels", "request")
    ignored = [_named(name) for name in _take_unknown(sent)]
    try:
        return GenerateInput.model_validate(sent), _few(ignored)
    except ValidationError as error:
        raise from_validation(error, sent) from None


def load_json(body: bytes) -> Any:  # noqa: ANN401 - anything that JSON holds
    """Read strict JSON. A number without a fraction becomes an int, however it is written.

    Raises:
        ApiError: 400, it is not strict JSON.
    """
    try:
        return json.loads(
            body.decode(), parse_int=_integer, parse_float=_number, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise malformed(
            f"the body is not JSON from line {error.lineno}, column {error.colno} on"
        ) from None
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise malformed("the body is nested too deep") from None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads at most 4300 digits
        raise malformed(f"the body holds a number of {len(text)} digits") from None


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise malformed(f"the body holds {shown(text)}, a number too large for JSON readers")
    return int(value) if value.is_integer() else value


def _constant(text: str) -> NoReturn:
    raise malformed(f"the body holds {text}, which is not JSON")


def _too_deep(value: object) -> bool:
    """Whether lists and objects are nested deeper than the limit."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _members(record: type) -> frozenset[str]:
    return frozenset(TypeAdapter(record).json_schema()["properties"])


_BODY, _SCORE, _TRACK, _BAR = map(_members, (GenerateInput, Score, Track, Bar))
_REQUEST, _PROMPT, _CONFIG = map(_members, (GenerationRequest, TrackPrompt, InferenceConfig))


def _take_unknown(body: dict[str, Any]) -> Iterator[str]:
    """Remove the members that mean nothing from the open objects of a body, and name them."""
    yield from _take(body, _BODY, "")
    score, request = body.get("score"), body.get("request")
    yield from _take(score, _SCORE, "score.")
    for t, track in _items(score, "tracks"):
        yield from _take(track, _TRACK, f"score.tracks[{t}].")
        for b, bar in _items(track, "bars"):
            # the names are put together only where there is something to name: bars are many
            if isinstance(bar, dict) and not bar.keys() <= _BAR:
                yield from _take(bar, _BAR, f"score.tracks[{t}].bars[{b}].")
    yield from _take(request, _REQUEST, "request.")
    for p, prompt in _items(request, "tracks"):
        yield from _take(prompt, _PROMPT, f"request.tracks[{p}].")
    if isinstance(request, dict):
        yield from _take(request.get("config"), _CONFIG, "request.config.")


def _take(value: object, known: frozenset[str], prefix: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name in [name for name in value if name not in known]:
            del value[name]
            yield prefix + name


def _items(value: object, member: str) -> Iterator[tuple[int, Any]]:
    items = value.get(member) if isinstance(value, dict) else None
    return enumerate(items if isinstance(items, list) else ())


def _named(path: str) -> str:
    return f"{path[:80]!r} is not known and was ignored"


def _few(warnings: list[str]) -> list[str]:
    more = len(warnings) - _MOST_NAMED
    return warnings[:_MOST_NAMED] + ([f"{more} more members were ignored"] if more > 0 else [])

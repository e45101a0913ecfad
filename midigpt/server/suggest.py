"""Members that mean nothing: taken out of a body, and named with what was probably meant."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from midigpt.inference.reading import meant, named
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt
from midigpt.score import Bar, Score, Track
from midigpt.server.schemas import GenerateInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_NAMED = 20


class _Unknown(NamedTuple):
    """A member that was taken out.

    Attributes:
        place: path of the object it was in, with a dot at the end.
        name: its name.
        known: the names that mean something there.
    """

    place: str
    name: str
    known: frozenset[str]


def _members(record: type) -> frozenset[str]:
    return frozenset(TypeAdapter(record).json_schema()["properties"])


_BODY, _SCORE, _TRACK, _BAR = map(_members, (GenerateInput, Score, Track, Bar))
_REQUEST, _PROMPT, _CONFIG = map(_members, (GenerationRequest, TrackPrompt, InferenceConfig))


def take_unknown(body: dict[str, Any]) -> list[str]:
    """Remove the members that mean nothing from the open objects of a body.

    Returns:
        A warning for each of the first of them, and one about all the others.
    """
    unknown = _all_unknown(body)
    warnings = [_warning(one) for one in islice(unknown, _MOST_NAMED)]
    more = sum(1 for _ in unknown)
    return warnings + ([f"{more} more members were ignored"] if more else [])


def _all_unknown(body: dict[str, Any]) -> Iterator[_Unknown]:
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


def _take(value: object, known: frozenset[str], place: str) -> Iterator[_Unknown]:
    if isinstance(value, dict):
        for name in [name for name in value if name not in known]:
            del value[name]
            yield _Unknown(place, name, known)


def _items(value: object, member: str) -> Iterator[tuple[int, Any]]:
    items = value.get(member) if isinstance(value, dict) else None
    return enumerate(items if isinstance(items, list) else ())


def _warning(unknown: _Unknown) -> str:
    path = f"{unknown.place}{named(unknown.name)}"
    return f"'{path}' is not known and was ignored{_hint(unknown)}"


def _hint(unknown: _Unknown) -> str:
    if unknown.name in _CONFIG:  # the settings are all in one place, which is easily forgotten
        return f"; did you mean request.config.{unknown.name}?"
    return meant(unknown.name, unknown.known)

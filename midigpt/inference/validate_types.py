"""The types of a request's members, brought to what the annotations declare."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from midigpt.inference.reading import Place, flag, mapping, number, spelled, whole, wholes
from midigpt.inference.request import GenerationRequest, InferenceConfig, TrackPrompt

if TYPE_CHECKING:
    from collections.abc import Callable


def typed(request: GenerationRequest) -> GenerationRequest:
    """A copy whose numbers, booleans, lists and objects are what the annotations declare.

    Floats without a fraction become integers, 0 and 1 booleans, null and ``"auto"`` their numbers.
    What lies inside ``controls`` and ``bar_controls`` stays as it is, and so do strings.

    Raises:
        TypeError: a member is something else.
    """
    return GenerationRequest(
        tracks=[_prompt(prompt, Place(f"tracks[{i}]")) for i, prompt in enumerate(request.tracks)],
        config=_config(request.config),
        controls=mapping(request.controls, Place("controls")),
    )


def _seed(value: object, place: Place) -> int:
    return -1 if value is None else whole(value, place)


def _auto(value: object, place: Place) -> int:
    return 0 if value == "auto" else whole(value, place)


def _window(value: object, place: Place) -> int:
    return 0 if value is None else _auto(value, place)


def _as_is(value: object, _: Place) -> object:
    return value


_READERS: dict[Any, Callable[[object, Place], Any]] = {
    int: whole,
    float: number,
    bool: flag,
    str: _as_is,
    list[int]: wholes,
    int | None: _seed,
    int | Literal["auto"]: _auto,
    int | Literal["auto"] | None: _window,
}
_CONFIG = {name: _READERS[hint] for name, hint in get_type_hints(InferenceConfig).items()}


def _config(config: InferenceConfig) -> InferenceConfig:
    place, values = Place("config"), asdict(config)
    return InferenceConfig(
        **{name: read(values[name], place.at(name)) for name, read in _CONFIG.items()}
    )


def _prompt(prompt: TrackPrompt, place: Place) -> TrackPrompt:
    track = whole(prompt.id, place.at("id"))
    place = Place(place.path, track)
    return TrackPrompt(
        id=track,
        bars=wholes(prompt.bars, place.at("bars")),
        autoregressive=flag(prompt.autoregressive, place.at("autoregressive")),
        ignore=flag(prompt.ignore, place.at("ignore")),
        mask_bars=wholes(prompt.mask_bars, place.at("mask_bars")),
        attributes=_levels(prompt.attributes, place.at("attributes")),
        controls=mapping(prompt.controls, place.at("controls")),
        bar_attributes=_by_bar(prompt.bar_attributes, place.at("bar_attributes"), _levels),
        bar_controls=_by_bar(prompt.bar_controls, place.at("bar_controls"), mapping),
    )


def _by_bar(
    value: object, place: Place, read: Callable[[object, Place], dict[Any, Any]]
) -> dict[int, dict[Any, Any]]:
    return {
        whole(bar, place): read(inner, place.at(bar))
        for bar, inner in mapping(value, place).items()
    }


def _levels(value: object, place: Place) -> dict[Any, int]:
    return {name: spelled(level, place.at(name)) for name, level in mapping(value, place).items()}

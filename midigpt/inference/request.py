"""What a caller asks for: a request, one prompt per track, and the settings.

The records are plain and mutable, compare by value and check nothing when they are built;
:func:`midigpt.inference.validate_request` does. The annotations name ranges and meanings once, for
every reader that does check (the HTTP schema).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from midigpt.fields import BarNumber, Controls, Flag, Integer, Many, Members, Number, Text

if TYPE_CHECKING:
    from typing_extensions import Self

CONTEXT_MODES = ("auto", "listed", "all")
MASK_MODES = ("auto", "token", "attention", "attention_approx", "attention_skip", "remove")
MAX_ATTEMPTS = 100
MAX_CANDIDATES = 16
MAX_LIMIT = 2**31 - 1
MAX_SEED = 2**63 - 1


@dataclass(slots=True)
class TrackPrompt:
    """What to do with one track of the score.

    A track that is not ignored, has no ``bars`` and is not autoregressive is pure context.
    """

    # the JSON form must say which bars, be it none
    __pydantic_config__ = ConfigDict(json_schema_extra={"required": ["id", "bars"]})

    id: Annotated[Integer, Field(description="index of the track in the score")]
    bars: Annotated[
        Many[Integer],
        Field(
            description="bars to write: any set to fill in, or with autoregressive a run up to the"
            " last bar, where an empty list means the whole track"
        ),
    ] = field(default_factory=list)
    autoregressive: Annotated[
        Flag, Field(description="write the bars as a continuation instead of filling them in")
    ] = False
    ignore: Annotated[
        Flag, Field(description="keep the track from the model and return it unchanged")
    ] = False
    mask_bars: Annotated[
        Many[Integer], Field(description="bars to hide from the model; none of those to write")
    ] = field(default_factory=list)
    attributes: Annotated[
        Members[str, Integer], Field(description="level wanted of each track attribute, by name")
    ] = field(default_factory=dict)
    controls: Annotated[
        Controls,
        Field(description="any of time_signature, pitch_mask, rhythm_mask, remix"),
    ] = field(default_factory=dict)
    bar_attributes: Annotated[
        Members[BarNumber, Members[str, Integer]],
        Field(description="by bar to write, level wanted of each bar attribute, by name"),
    ] = field(default_factory=dict)
    bar_controls: Annotated[
        Members[BarNumber, Controls],
        Field(description="by bar to write, time_signature: index into the checkpoint's meters"),
    ] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form; unknown keys are ignored.

        Raises:
            KeyError: ``id`` or ``bars`` is missing.
            TypeError: something other than an object or a list where one is expected.
            ValueError: a key of ``bar_attributes`` or ``bar_controls`` is no integer.
        """
        data = _object("a track prompt", data)
        return cls(
            id=data["id"],
            bars=_list("bars", data["bars"]),
            autoregressive=data.get("autoregressive", False),
            ignore=data.get("ignore", False),
            mask_bars=_list("mask_bars", data.get("mask_bars", ())),
            attributes=dict(_object("attributes", data.get("attributes", {}))),
            controls=dict(_object("controls", data.get("controls", {}))),
            bar_attributes=_by_bar("bar_attributes", data.get("bar_attributes", {})),
            bar_controls=_by_bar("bar_controls", data.get("bar_controls", {})),
        )


def _names_bars(prompt: object) -> object:
    if isinstance(prompt, Mapping) and "bars" not in prompt:
        raise PydanticCustomError("missing_member", "has no bars; [] stands for none")
    return prompt


PromptWithBars = Annotated[TrackPrompt, BeforeValidator(_names_bars)]
"""A track prompt whose JSON form says which bars, be it none."""


@dataclass(slots=True)
class InferenceConfig:
    """How to generate. ``"auto"`` reads back as 0."""

    temperature: Annotated[
        Number, Field(gt=0, description="logits are divided by it; lower is safer")
    ] = 1.0
    seed: Annotated[
        Integer | None,
        Field(le=MAX_SEED, description="below 0 or null: drawn, and reported with the result"),
    ] = -1
    max_attempts: Annotated[
        Integer, Field(ge=1, le=MAX_ATTEMPTS, description="attempts per step")
    ] = 3
    novelty_check: Annotated[
        Flag, Field(description="reject an attempt too close to what was there")
    ] = True
    novelty_threshold: Annotated[
        Number,
        Field(gt=0, le=1, description="similarity that is too close; 1 rejects only no change"),
    ] = 1.0
    silence_check: Annotated[Flag, Field(description="reject an attempt without a note")] = True
    temperature_escalation: Annotated[
        Number,
        Field(ge=1, description="the temperature grows by it per attempt; above 3 counts as 3"),
    ] = 1.0
    model_dim: Annotated[
        Integer | Literal["auto"] | None,
        Field(
            description='window in bars, one of the checkpoint\'s; "auto", null or below 1: the'
            " largest that fits"
        ),
    ] = 4
    bars_per_step: Annotated[
        Annotated[Integer, Field(ge=0)] | Literal["auto"],
        Field(description='bars written per step, at most model_dim; 0 is "auto"'),
    ] = 1
    tracks_per_step: Annotated[
        Annotated[Integer, Field(ge=0)] | Literal["auto"],
        Field(description='tracks filled in per step; 0 is "auto"'),
    ] = 1
    ar_overlap: Annotated[
        Number,
        Field(ge=0, lt=1, description="autoregressive: share of the window kept as history"),
    ] = 0.5
    min_overlap_bars: Annotated[
        Integer, Field(ge=0, description="autoregressive: least history in bars")
    ] = 2
    plan_only: Annotated[Flag, Field(description="answer with the plan, generate nothing")] = False
    context: Annotated[
        Text,
        Field(
            description="which context tracks may be dropped if the prompt is too long",
            json_schema_extra={"enum": list(CONTEXT_MODES)},
        ),
    ] = "auto"
    context_drop: Annotated[
        Many[Integer], Field(description="ids of context tracks to drop first, in this order")
    ] = field(default_factory=list)
    context_keep: Annotated[
        Many[Integer], Field(description="ids of context tracks that are never dropped")
    ] = field(default_factory=list)
    budget_margin: Annotated[
        Number, Field(ge=1, description="room kept for the output, as a factor on its estimate")
    ] = 1.25
    shuffle: Annotated[Flag, Field(description="fill in the bars in random order")] = False
    mask_mode: Annotated[
        Text,
        Field(
            description="how bars are hidden from the model",
            json_schema_extra={"enum": list(MASK_MODES)},
        ),
    ] = "auto"
    polyphony_hard_limit: Annotated[
        Integer, Field(le=MAX_LIMIT, description="most onsets at one position; below 1: no limit")
    ] = 0
    density_hard_limit: Annotated[
        Integer, Field(le=MAX_LIMIT, description="most onsets in a bar; below 1: no limit")
    ] = 0
    top_p: Annotated[
        Number, Field(gt=0, le=1, description="sample from the likeliest tokens of this mass")
    ] = 1.0
    top_k: Annotated[
        Integer, Field(ge=0, description="sample from this many of the likeliest tokens; 0: all")
    ] = 0
    mask_p: Annotated[
        Number, Field(ge=0, lt=1, description="drop the likeliest note content of this mass")
    ] = 0.0
    mask_k: Annotated[
        Integer, Field(ge=0, description="drop this many of the likeliest tokens, if note content")
    ] = 0
    batch_attempts: Annotated[Flag, Field(description="run a step's attempts together")] = False
    num_candidates: Annotated[
        Integer, Field(ge=1, le=MAX_CANDIDATES, description="complete results to generate")
    ] = 1
    infill_probability: Annotated[
        Number, Field(gt=0, le=1, description="share of the bars to fill in that really are")
    ] = 1.0

    def __post_init__(self) -> None:
        if self.model_dim == "auto":
            self.model_dim = 0
        if self.bars_per_step == "auto":
            self.bars_per_step = 0
        if self.tracks_per_step == "auto":
            self.tracks_per_step = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form; unknown keys are ignored, values are taken as they are.

        Raises:
            TypeError: not an object.
        """
        data = _object("config", data)
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})


@dataclass(slots=True)
class GenerationRequest:
    """A generation request: exactly one prompt per track of the score, in any order."""

    tracks: Annotated[Many[PromptWithBars], Field(description="one prompt per track of the score")]
    config: Annotated[InferenceConfig, Field(description="how to generate")] = field(
        default_factory=InferenceConfig
    )
    controls: Annotated[
        dict[str, Any], Field(description="any of velocity, microtiming, genre")
    ] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form; unknown keys are ignored at all levels.

        Raises:
            KeyError: ``tracks``, or ``id`` or ``bars`` of a track prompt, is missing.
            TypeError: something other than an object or a list where one is expected.
            ValueError: a key of ``bar_attributes`` or ``bar_controls`` is no integer.
        """
        data = _object("a request", data)
        return cls(
            tracks=[TrackPrompt.from_dict(prompt) for prompt in _list("tracks", data["tracks"])],
            config=InferenceConfig.from_dict(data.get("config", {})),
            controls=dict(_object("controls", data.get("controls", {}))),
        )


def _object(name: str, value: Any) -> Mapping[Any, Any]:  # noqa: ANN401 - anything that JSON holds
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be an object, not {type(value).__name__}")
    return value


def _list(name: str, value: Any) -> list[Any]:  # noqa: ANN401 - anything that JSON holds
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list, not {type(value).__name__}")
    return list(value)


def _by_bar(name: str, value: Any) -> dict[int, dict[str, Any]]:  # noqa: ANN401 - as above
    return {
        _bar(name, key): dict(_object(f"{name}[{key!r:.40}]", inner))
        for key, inner in _object(name, value).items()
    }


def _bar(name: str, key: Any) -> int:  # noqa: ANN401 - as above
    if not isinstance(key, (str, int)):
        raise TypeError(f"{name} has the key {key!r:.40}; its keys must be bar numbers")
    try:
        return int(key)
    except ValueError:
        raise ValueError(f"{name} has the key {key!r:.40}; its keys must be bar numbers") from None

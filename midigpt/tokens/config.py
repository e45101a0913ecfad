"""The encoder config: how a checkpoint's tokens are made, as stored with its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import NotRequired, Self, TypedDict

from midigpt.errors import EncoderConfigError
from midigpt.tokens.types import canonical
from midigpt.tokens.values import program_groups


class AttributeControl(TypedDict):
    """An attribute of the encoder: its registry name and the parameters of its class."""

    name: str
    params: NotRequired[dict[str, Any]]


def _meter(text: Any) -> tuple[int, int]:  # noqa: ANN401 - anything that JSON holds
    match = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", text) if isinstance(text, str) else None
    if match is None:
        raise PydanticCustomError("meter", 'a time signature is two positive numbers as "3/4"')
    return int(match[1]), int(match[2])


def _domain(entry: Any) -> tuple[str, int]:  # noqa: ANN401 - anything that JSON holds
    if not (isinstance(entry, dict) and {"type", "domain_size"} <= entry.keys()):
        raise PydanticCustomError("domain", 'a token domain is {"type", "domain_size"}')
    return entry["type"], entry["domain_size"]


def _type(name: str) -> str:
    try:
        return canonical(name)
    except EncoderConfigError as error:
        raise PydanticCustomError("token_type", "no such token type") from error


Meter = Annotated[tuple[int, int], BeforeValidator(_meter)]
"""Numerator and denominator, in JSON ``"3/4"``."""

TokenType = Annotated[str, AfterValidator(_type)]
TokenDomain = Annotated[tuple[TokenType, PositiveInt], BeforeValidator(_domain)]
"""Type and number of values, in JSON ``{"type": ..., "domain_size": ...}``."""

MidiNumber = Annotated[int, Field(ge=0, le=127)]
# a MIDI file cannot hold more
Resolution = Annotated[int, Field(ge=1, le=32767)]


# types whose values are places in a list of the config
_LISTED = {"TimeSig": "time_signatures", "NumBars": "num_bars_map", "Genre": "genre_groups"}


class EncoderConfig(BaseModel):
    """How a score becomes tokens.

    Every member may be left out of the JSON form, and members it does not know are ignored.

    Attributes:
        resolution: ticks per quarter note of the token grid.
        decode_resolution: ticks per quarter note of decoded scores.
        pitch_range: lowest and highest pitch that have a token.
        velocity_levels: number of velocity levels, level 0 (unknown) included.
        note_duration_max_beats: longest note, in quarter notes.
        velocity_sticky: write a level only where it changes inside a bar.
        switchable_velocity: a token at the start switches velocities on or off.
        switchable_microtiming: the same for microtiming; implies ``emit_delta_tokens``.
        emit_delta_tokens: write the microtiming that the grid leaves over.
        supports_infill: bars can be left open and written at the end.
        supports_mask_bar_token: a token stands for the notes of a hidden bar.
        num_bars_map: allowed numbers of bars; a value is the place in this list.
        time_signatures: meters as (numerator, denominator); a value is the place in this list.
        instrument_merge_groups: programs that share a token; the first stands for the group.
        genre_groups: genres and their aliases.
        attribute_controls: attributes added to those that the token domains imply.
        token_domains: the vocabulary as (type, number of values), in order; None to derive it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    resolution: Resolution = 480
    decode_resolution: Resolution = 480
    pitch_range: tuple[MidiNumber, MidiNumber] = (0, 127)
    velocity_levels: int = Field(default=32, ge=2)
    note_duration_max_beats: PositiveInt = 8
    velocity_sticky: bool = True
    switchable_velocity: bool = False
    switchable_microtiming: bool = False
    emit_delta_tokens: bool = Field(default=False, validate_default=True)
    supports_infill: bool = False
    supports_mask_bar_token: bool = False
    num_bars_map: tuple[PositiveInt, ...] | None = None
    time_signatures: tuple[Meter, ...] | None = None
    instrument_merge_groups: tuple[Annotated[tuple[MidiNumber, ...], Field(min_length=1)], ...] = ()
    genre_groups: dict[str, tuple[str, ...]] | None = None
    attribute_controls: tuple[AttributeControl, ...] = ()
    token_domains: tuple[TokenDomain, ...] | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any] | str) -> Self:
        """Read a config.

        Args:
            data: the JSON text or its contents.

        Raises:
            EncoderConfigError: not an object, or a member that makes no sense; the message names
                the first such member.
        """
        try:
            text = data if isinstance(data, str) else json.dumps(_plain(data))
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            problem = f"{first['msg']}, not {first['input']!r:.60}"
        except (TypeError, ValueError) as error:
            where, problem = "the whole", f"not JSON data: {error}"
        raise EncoderConfigError(f"encoder config: {where}: {problem}")

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON-ready data, with the token domains even if they were derived."""
        data = self.model_dump(mode="json")
        data["token_domains"] = [
            {"type": type_, "domain_size": size} for type_, size in self.domains
        ]
        optional = {"num_bars_map", "time_signatures", "genre_groups"}
        return {key: data[key] for key in data if data[key] is not None or key not in optional}

    @cached_property
    def domains(self) -> tuple[tuple[str, int], ...]:
        """The vocabulary without the attributes' own domains: as given, or derived."""
        if self.token_domains is not None:
            return self.token_domains
        return tuple((type_, size) for type_, size in self._derived() if size)

    @cached_property
    def lowest_pitch(self) -> int:
        """The pitch of ``NoteOnset:0``.

        The lower end of ``pitch_range`` if the vocabulary has just that range, else 0.
        """
        lowest, highest = self.pitch_range
        return lowest if ("NoteOnset", highest - lowest + 1) in self.domains else 0

    def _derived(self) -> list[tuple[str, int]]:
        """All structural types in vocabulary order; those that do not apply have size 0."""
        lowest, highest = self.pitch_range
        meters = self.time_signatures or ()
        longest_bar = max((-(-4 * n * self.resolution // d) for n, d in meters), default=0)
        microtiming, infill = self.emit_delta_tokens, self.supports_infill
        return [
            ("PieceStart", 2 if infill else 1),
            ("Track", 2),
            ("TrackEnd", 1),
            ("Bar", 1),
            ("BarEnd", 1),
            ("TimeSig", len(meters)),
            ("Instrument", len(program_groups(self.instrument_merge_groups).program)),
            ("NumBars", len(self.num_bars_map or ())),
            ("NoteOnset", highest - lowest + 1),
            ("NoteDuration", self.note_duration_max_beats * self.resolution),
            ("TimeAbsolutePos", longest_bar),
            ("UseVelocity", 2 * self.switchable_velocity),
            ("UseMicrotiming", 2 * self.switchable_microtiming),
            ("Genre", len(self.genre_groups or ())),
            ("VelocityLevel", self.velocity_levels),
            ("DeltaDirection", 2 * microtiming),
            ("Delta", max(1, self.resolution // 2) if microtiming else 0),
            ("FillInPlaceholder", int(infill)),
            ("FillInStart", int(infill)),
            ("FillInEnd", int(infill)),
            ("MaskBar", int(self.supports_mask_bar_token)),
        ]

    @field_validator("emit_delta_tokens")
    @classmethod
    def _microtiming_needs_deltas(cls, value: bool, info: ValidationInfo) -> bool:
        return value or info.data.get("switchable_microtiming", False)

    @field_validator("pitch_range")
    @classmethod
    def _ascending(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise PydanticCustomError("pitch_range", "the lowest pitch comes first")
        return value

    @field_validator("token_domains")
    @classmethod
    def _consistent(
        cls, value: tuple[tuple[str, int], ...] | None, info: ValidationInfo
    ) -> tuple[tuple[str, int], ...] | None:
        sizes = dict(value or ())
        if len(sizes) != len(value or ()):
            raise PydanticCustomError("repeated", "each type occurs once")
        for type_, key in _LISTED.items():
            listed = len(info.data.get(key) or ())
            if sizes.get(type_, listed) < listed:
                problem = f"{type_} has one value for each of the {listed} {key}"
                raise PydanticCustomError("short", "{problem}", {"problem": problem})
        return value

    @field_serializer("time_signatures")
    def _meters(self, value: tuple[tuple[int, int], ...] | None) -> list[str] | None:
        return None if value is None else [f"{n}/{d}" for n, d in value]


def _plain(data: Any) -> Any:  # noqa: ANN401 - what is no mapping is refused after this
    return dict(data) if isinstance(data, Mapping) else data

"""Scores: tracks of bars of notes, their dictionary form, and MIDI files.

The records are plain and mutable, compare by value and check nothing when they are built. The
annotations name ranges and meanings once, for every reader that does check (the HTTP schema).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from midigpt.fields import MAX_INT32, Flag, Integer, Many, Ticks, TrackType

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from typing_extensions import Self

DEFAULT_RESOLUTION = 480
DEFAULT_TEMPO = 500_000


@dataclass(slots=True)
class Note:
    """One note; it belongs to the bar it starts in and may ring past that bar's end.

    Ticks are counted at the score's resolution. ``delta`` is the microtiming left over by the tick
    grid: the true onset is ``onset_ticks + delta / resolution`` ticks.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pitch: Annotated[Integer, Field(ge=0, le=127, description="MIDI pitch")]
    velocity: Annotated[Integer, Field(ge=0, le=127, description="MIDI velocity")]
    onset_ticks: Annotated[Ticks, Field(description="ticks from the start of the bar")]
    duration_ticks: Annotated[Ticks, Field(description="ticks; may reach past the bar's end")]
    delta: Annotated[Ticks, Field(description="microtiming, in 1/resolution of a tick")] = 0


@dataclass(slots=True)
class Bar:
    """A bar: its notes in the order given, its meter, and its length in quarter notes.

    ``beat_length`` follows from the meter unless it is given (a bar that a MIDI file cuts short
    is shorter than its meter says). A ``future`` bar is hidden from the model.
    """

    notes: Many[Note] = field(default_factory=list)
    ts_numerator: Annotated[Integer, Field(ge=1, le=255)] = 4
    ts_denominator: Annotated[Integer, Field(ge=1, le=255)] = 4
    beat_length: Annotated[SkipJsonSchema[float], Field(exclude=True)] = math.nan
    future: Annotated[Flag, Field(description="hidden from the model")] = False

    def __post_init__(self) -> None:
        if math.isnan(self.beat_length):
            self.beat_length = meter_quarters(self.ts_numerator, self.ts_denominator)

    def to_dict(self) -> dict[str, Any]:
        """The bar as JSON-ready data. ``beat_length`` follows from the meter and is left out."""
        return {
            "ts_numerator": self.ts_numerator,
            "ts_denominator": self.ts_denominator,
            "future": self.future,
            "notes": [
                {
                    "pitch": note.pitch,
                    "velocity": note.velocity,
                    "onset_ticks": note.onset_ticks,
                    "duration_ticks": note.duration_ticks,
                    "delta": note.delta,
                }
                for note in self.notes
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`; every key is optional.

        Raises:
            TypeError: a note lacks a key or has an unknown one, or ``notes`` is not a list.
        """
        return cls(
            notes=[Note(**note) for note in data.get("notes", [])],
            ts_numerator=data.get("ts_numerator", 4),
            ts_denominator=data.get("ts_denominator", 4),
            beat_length=data.get("beat_length", math.nan),
            future=data.get("future", False),
        )


@dataclass(slots=True)
class Track:
    """One instrument's bars.

    ``attributes`` holds attribute levels by name, as the tokenizer reads and writes them; bar
    levels are keyed ``bar_<token type>_<bar index>``.
    """

    bars: Many[Bar] = field(default_factory=list)
    instrument: Annotated[
        Integer,
        Field(ge=-MAX_INT32, le=MAX_INT32, description="General MIDI program; others count as 0"),
    ] = 0
    track_type: TrackType = "melodic"
    attributes: Annotated[SkipJsonSchema[dict[str, int]], Field(exclude=True)] = field(
        default_factory=dict
    )

    @property
    def is_drum(self) -> bool:
        """Whether this is a drum track; any type but ``"drum"`` behaves as melodic."""
        return self.track_type == "drum"

    def to_dict(self) -> dict[str, Any]:
        """The track as JSON-ready data, without its attributes."""
        return {
            "instrument": self.instrument,
            "track_type": self.track_type,
            "bars": [bar.to_dict() for bar in self.bars],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`; every key is optional, ``attributes`` is read when given."""
        return cls(
            bars=[Bar.from_dict(bar) for bar in data.get("bars", [])],
            instrument=data.get("instrument", 0),
            track_type=data.get("track_type", "melodic"),
            attributes=dict(data.get("attributes", {})),
        )


@dataclass(slots=True)
class Score:
    """A piece: its tracks, ticks per quarter note, and one tempo (microseconds per quarter)."""

    tracks: Many[Track] = field(default_factory=list)
    resolution: Annotated[
        Integer, Field(ge=1, le=1_000_000, description="ticks per quarter note")
    ] = DEFAULT_RESOLUTION
    tempo: Annotated[
        Integer, Field(ge=1, le=MAX_INT32, description="microseconds per quarter note")
    ] = DEFAULT_TEMPO

    def to_dict(self) -> dict[str, Any]:
        """The score as JSON-ready data: the ``score`` of the HTTP interface."""
        return {
            "resolution": self.resolution,
            "tempo": self.tempo,
            "tracks": [track.to_dict() for track in self.tracks],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`; unknown keys are ignored, values are taken as they are.

        Raises:
            TypeError: a note lacks a key or has an unknown one; null where a list is expected.
            AttributeError: something other than an object where an object is expected.
        """
        return cls(
            tracks=[Track.from_dict(track) for track in data.get("tracks", [])],
            resolution=data.get("resolution", DEFAULT_RESOLUTION),
            tempo=data.get("tempo", DEFAULT_TEMPO),
        )

    @staticmethod
    def from_midi(path: str | PathLike[str]) -> Score:
        """Read a MIDI file; the result has resolution 480. See :func:`midigpt.midi.read`."""
        from midigpt import midi  # noqa: PLC0415 - a server without MIDI files needs no symusic

        return midi.read(path)

    @staticmethod
    def from_bytes(data: bytes) -> Score:
        """Read the bytes of a MIDI file, as :meth:`from_midi`."""
        from midigpt import midi  # noqa: PLC0415 - as above

        return midi.parse(data)

    def to_midi(self, path: str | PathLike[str]) -> None:
        """Write a format 1 MIDI file. See :func:`midigpt.midi.write`."""
        from midigpt import midi  # noqa: PLC0415 - as above

        midi.write(self, path)

    def copy(self) -> Score:
        """The same score, sharing nothing with this one."""
        return self._rebuilt(self.resolution, replace)

    def resample(self, target: int) -> Score:
        """This score at ``target`` ticks per quarter, rounded half to even, durations at least 1.

        The same object when it already has that resolution. ``delta`` is copied as it is.

        Raises:
            ZeroDivisionError: this score's resolution is 0.
        """
        if target == self.resolution:
            return self
        factor = target / self.resolution

        def scaled(note: Note) -> Note:
            onset = round(note.onset_ticks * factor)
            duration = max(1, round(note.duration_ticks * factor))
            return Note(note.pitch, note.velocity, onset, duration, note.delta)

        return self._rebuilt(target, scaled)

    def _rebuilt(self, resolution: int, rebuilt: Callable[[Note], Note]) -> Score:
        def bar_of(bar: Bar) -> Bar:
            notes = [rebuilt(note) for note in bar.notes]
            meter = (bar.ts_numerator, bar.ts_denominator)
            return Bar(notes, *meter, bar.beat_length, bar.future)

        tracks = [
            Track(
                [bar_of(bar) for bar in track.bars],
                track.instrument,
                track.track_type,
                dict(track.attributes),
            )
            for track in self.tracks
        ]
        return Score(tracks, resolution, self.tempo)


def meter_quarters(numerator: int, denominator: int) -> float:
    """Length of a ``numerator/denominator`` bar in quarter notes; 0 for a denominator of 0."""
    return 4 * numerator / denominator if denominator else 0.0

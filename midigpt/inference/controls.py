"""The track controls that shape sampling: pitch masks, rhythm masks and remixing.

Validation parses them to see that they make sense, the engine to act on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from midigpt.errors import RequestValidationError
from midigpt.inference.reading import (
    Place,
    listed,
    meant,
    number,
    reject,
    require,
    shown,
    whole,
    wholes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

SCALES: Mapping[str, tuple[int, ...]] = {
    "chromatic": tuple(range(12)),
    "major": (0, 2, 4, 5, 7, 9, 11),
    "natural_minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic_minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic_minor": (0, 2, 3, 5, 7, 9, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "major_pentatonic": (0, 2, 4, 7, 9),
    "minor_pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole_tone": (0, 2, 4, 6, 8, 10),
}
"""Semitones above the root."""

GRID_UNITS: Mapping[str, Fraction] = {
    "whole": Fraction(4),
    "half": Fraction(2),
    "quarter": Fraction(1),
    "eighth": Fraction(1, 2),
    "sixteenth": Fraction(1, 4),
    "quarter_triplet": Fraction(1, 3),
    "eighth_triplet": Fraction(1, 6),
    "sixteenth_triplet": Fraction(1, 12),
}
"""Length of a grid unit in quarter notes."""

MAX_POLYPHONY = 128

_whole = partial(whole, error=RequestValidationError)
_wholes = partial(wholes, error=RequestValidationError)
_number = partial(number, error=RequestValidationError)


_PITCH_MASK, _RHYTHM_MASK, _REMIX = Place("pitch_mask"), Place("rhythm_mask"), Place("remix")


@dataclass(frozen=True, slots=True)
class PitchMask:
    """Which pitches may be played, and how gladly.

    Attributes:
        allowed: the pitches that may be played; None for all.
        weights: factor on the probability of each pitch, shape (128,); None to leave them.
    """

    allowed: frozenset[int] | None = None
    weights: tuple[float, ...] | None = None

    @classmethod
    def parse(cls, value: object, place: Place = _PITCH_MASK) -> Self:
        """Read the control; messages say that it was sent at ``place``.

        Raises:
            RequestValidationError: it is malformed, or leaves no pitch.
        """
        mask = _members(value, place, {"pitches", "scale", "root", "pitch_classes", "shape"})
        weights = _weights(mask["shape"], place.at("shape")) if "shape" in mask else None
        parsed = cls(_allowed(mask, place), weights)
        if not parsed.leaves(range(128)):
            reject(place, f"is {shown(dict(mask))}, which leaves no pitch to play")
        return parsed

    def leaves(self, pitches: Iterable[int]) -> bool:
        """Whether any of these pitches, 0..127, may still be played."""
        return any(
            (self.allowed is None or pitch in self.allowed)
            and (self.weights is None or self.weights[pitch] > 0)
            for pitch in pitches
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced positions that onsets are drawn to.

    Attributes:
        unit: distance of the lines in quarter notes.
        strength: 0 does nothing, 1 forbids the positions between the lines.
    """

    unit: Fraction
    strength: float = 1.0

    def ticks(self, resolution: int) -> int:
        """Distance of the lines in ticks, at ``resolution`` ticks per quarter note."""
        return max(1, round(resolution * self.unit))


@dataclass(frozen=True, slots=True)
class RhythmMask:
    """When notes may begin: at given positions or around a grid, of which one is None.

    Attributes:
        positions: (tick, number of notes) of every onset in a bar, ascending from tick 0; ticks
            count at the encoder's resolution.
        grid: the grid.
    """

    positions: tuple[tuple[int, int], ...] | None = None
    grid: Grid | None = None

    @classmethod
    def parse(cls, value: object, place: Place = _RHYTHM_MASK) -> Self:
        """Read the control; messages say that it was sent at ``place``.

        Raises:
            RequestValidationError: it is malformed.
        """
        mask = _members(value, place, {"positions", "grid"})
        if len(mask) != 1:
            reject(place, "must have either positions or grid")
        if "positions" in mask:
            return cls(positions=_positions(mask["positions"], place.at("positions")))
        return cls(grid=_grid(mask["grid"], place.at("grid")))


@dataclass(frozen=True, slots=True)
class Remix:
    """A variation of what is there.

    Attributes:
        amount: share of the notes that change, in (0, 1].
        mode: what changes: their pitch, or in ``"full"`` their duration as well.
    """

    amount: float
    mode: Literal["pitch", "full"] = "pitch"

    @classmethod
    def parse(cls, value: object, place: Place = _REMIX) -> Self:
        """Read the control; messages say that it was sent at ``place``.

        Raises:
            RequestValidationError: it is malformed.
        """
        remix = _members(value, place, {"amount", "mode"})
        if "amount" not in remix:
            reject(place, "has no amount; it must be above 0 and at most 1")
        amount = _number(remix["amount"], place.at("amount"))
        require(0 < amount <= 1, place.at("amount"), amount, "above 0 and at most 1")
        mode = remix.get("mode", "pitch")
        if mode not in ("pitch", "full"):
            reject(place.at("mode"), f"is {shown(mode)}; it must be one of pitch, full")
        return cls(amount, mode)


def _members(value: object, place: Place, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        reject(place, f"is {shown(value)}; it must be an object")
    for name in value:
        if name not in known:
            having = f"it may have {listed(sorted(known))}"
            reject(place, f"has no member {shown(name)}; {having}{meant(name, known)}")
    return value


def _allowed(mask: Mapping[str, Any], place: Place) -> frozenset[int] | None:
    """The pitches of the hard part; explicit pitches win over a scale or pitch classes."""
    classes = _pitch_classes(mask, place)
    if "pitches" in mask:
        pitches = _wholes(mask["pitches"], place.at("pitches"))
        for index, pitch in enumerate(pitches):
            require(0 <= pitch <= 127, place.at("pitches").item(index), pitch, "in 0..127")
        return frozenset(pitches)
    if classes is None:
        return None
    return frozenset(pitch for pitch in range(128) if pitch % 12 in classes)


def _pitch_classes(mask: Mapping[str, Any], place: Place) -> set[int] | None:
    root = _whole(mask.get("root", 0), place.at("root"))
    if "scale" not in mask:
        if "pitch_classes" not in mask:
            return None
        return {pitch % 12 for pitch in _wholes(mask["pitch_classes"], place.at("pitch_classes"))}
    if "pitch_classes" in mask:
        reject(place, "may have scale or pitch_classes, not both")
    scale = mask["scale"]
    if not isinstance(scale, str) or scale not in SCALES:
        reject(place.at("scale"), f"is {shown(scale)}; it must be one of {listed(sorted(SCALES))}")
    return {(root + semitones) % 12 for semitones in SCALES[scale]}


def _weights(value: object, place: Place) -> tuple[float, ...]:
    shape = _members(value, place, {"type", "min", "max", "mean", "std"})
    kind = shape.get("type")
    if kind not in ("normal", "uniform"):
        reject(place.at("type"), f"is {shown(kind)}; it must be one of normal, uniform")
    return _normal(shape, place) if kind == "normal" else _uniform(shape, place)


def _uniform(shape: Mapping[str, Any], place: Place) -> tuple[float, ...]:
    lowest = _number(shape.get("min", 0), place.at("min"))
    highest = _number(shape.get("max", 127), place.at("max"))
    require(lowest <= highest, place.at("min"), lowest, f"at most max, {shown(highest)}")
    return tuple(float(lowest <= pitch <= highest) for pitch in range(128))


def _normal(shape: Mapping[str, Any], place: Place) -> tuple[float, ...]:
    mean = _number(shape.get("mean", 60.0), place.at("mean"))
    std = _number(shape.get("std", 12.0), place.at("std"))
    require(std > 0, place.at("std"), std, "above 0")
    distances = ((pitch - mean) / std for pitch in range(128))
    return tuple(math.exp(-0.5 * distance * distance) for distance in distances)


def _positions(value: object, place: Place) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, (list, tuple)) or not value:
        reject(place, f"is {shown(value)}; it must be a list of objects with pos and polyphony")
    counts: dict[int, int] = {}
    for index, entry in enumerate(value):
        onset = _members(entry, place.item(index), {"pos", "polyphony"})
        where = place.item(index).at("pos")
        tick = _whole(onset.get("pos"), where)
        require(tick >= 0, where, tick, "at least 0")
        require(tick not in counts, where, tick, "given only once")
        counts[tick] = _polyphony(onset, place.item(index).at("polyphony"))
    if 0 not in counts:
        reject(place, "has no pos 0; every bar must begin with an onset")
    return tuple(sorted(counts.items()))


def _polyphony(onset: Mapping[str, Any], place: Place) -> int:
    notes = _whole(onset.get("polyphony", 1), place)
    require(1 <= notes <= MAX_POLYPHONY, place, notes, f"in 1..{MAX_POLYPHONY}")
    return notes


def _grid(value: object, place: Place) -> Grid:
    grid = _members(value, place, {"unit", "strength"})
    unit, where = grid.get("unit"), place.at("unit")
    if not isinstance(unit, str) or unit not in GRID_UNITS:
        reject(where, f"is {shown(unit)}; it must be one of {listed(sorted(GRID_UNITS))}")
    strength = _number(grid.get("strength", 1.0), place.at("strength"))
    require(0 <= strength <= 1, place.at("strength"), strength, "in 0..1")
    return Grid(GRID_UNITS[unit], strength)

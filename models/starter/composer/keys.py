"""Keys: seven-note scales on a tonic, and the steps up and down them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from midigpt.inference.controls import SCALES

from .dice import weighted

if TYPE_CHECKING:
    from random import Random

MODES = {
    "major": SCALES["major"],
    "minor": SCALES["natural_minor"],
    "harmonic minor": SCALES["harmonic_minor"],
    "dorian": SCALES["dorian"],
    "mixolydian": SCALES["mixolydian"],
    "lydian": SCALES["lydian"],
    "phrygian": SCALES["phrygian"],
}
"""Semitones above the tonic, by mode."""

ODDS = {
    "major": 8.0,
    "minor": 5.0,
    "harmonic minor": 2.0,
    "dorian": 2.0,
    "mixolydian": 2.0,
    "lydian": 0.6,
    "phrygian": 0.4,
}


@dataclass(frozen=True)
class Key:
    """A key. A *step* counts the notes of its scale upwards; steps 0, 7, 14, ... are the tonic.

    Attributes:
        tonic: pitch class of the tonic, 0 is C.
        mode: a key of :data:`MODES`.
    """

    tonic: int
    mode: str

    @classmethod
    def draw(cls, rng: Random) -> Key:
        """Any tonic, the common modes more often."""
        return cls(rng.randrange(12), weighted(rng, ODDS))

    @cached_property
    def pitch_classes(self) -> frozenset[int]:
        """Those of the scale."""
        return frozenset((self.tonic + interval) % 12 for interval in MODES[self.mode])

    @property
    def minor(self) -> bool:
        """Whether the third above the tonic is a minor one."""
        return MODES[self.mode][2] == 3

    def pitch(self, step: int) -> int:
        """MIDI pitch of a step."""
        octave, degree = divmod(step, 7)
        return 12 * octave + self.tonic + MODES[self.mode][degree]

    def step(self, pitch: int) -> int:
        """The highest step that is not above a pitch."""
        octave, above = divmod(pitch - self.tonic, 12)
        return 7 * octave + sum(interval <= above for interval in MODES[self.mode]) - 1

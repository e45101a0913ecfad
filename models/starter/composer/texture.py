"""Textures drawn by number of voices and note values: what styles of their own would not cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dice import weighted
from .frame import Sound
from .meter import EIGHTH
from .rhythm import Beat, fill, thinned
from .voicing import voice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from .frame import Frame, Section

MOST = 40
"""Notes a bar may have; thick chords are played less often."""

THICKNESS = {
    1: 2.0,
    2: 1.6,
    3: 1.4,
    4: 1.2,
    5: 1.4,
    6: 1.4,
    7: 2.0,
    8: 2.0,
    9: 2.0,
    10: 2.4,
    11: 1.2,
}
"""Numbers of voices, with their odds: thick chords often, because no other part plays them."""

LAYERS = {"together": 5.0, "over a held chord": 3.0, "running": 2.0}


@dataclass(frozen=True)
class Texture:
    """Chords of changing thickness.

    Attributes:
        layer: a key of :data:`LAYERS`.
        thin: number of voices at its thin moments.
        thick: number of voices at its thick ones.
        short: the shorter note value, as in :func:`composer.rhythm.fill`.
        long: the longer one.
        centre: pitch around which it lies.
        light: whether the light places are the thick ones.
    """

    layer: str
    thin: int
    thick: int
    short: int
    long: int
    centre: int
    light: bool

    @classmethod
    def draw(cls, rng: Random) -> Texture:
        """Any numbers of voices and any note values, all about as often."""
        thick = weighted(rng, THICKNESS)
        thin = thick if rng.random() < 0.55 else rng.randint(1, thick)
        short, long = sorted((rng.randrange(6), rng.randrange(6)))
        if rng.random() < 0.4:
            short = long = rng.choice((0, 0, 0, 1, 3, 4, 5, 5, 5))
        layer = weighted(rng, LAYERS)
        centre = 62 + rng.randint(-12, 14) if thick < 6 else 62 + rng.randint(-4, 6)
        return cls(layer, thin, thick, short, long, centre, rng.random() < 0.3)

    def play(self, rng: Random, frame: Frame, section: Section) -> list[Sound]:
        """The texture over the chords of a section; its rhythm comes back every second bar."""
        period = 2 * frame.meter.bar
        rhythm = fill(rng, frame.meter, period, self.short, self.long)
        rhythm = thinned(rng, rhythm, frame.meter, max(2, MOST // self.thick))
        beats = [
            Beat(again + beat.start, beat.length)
            for again in range(0, section.end, period)
            for beat in rhythm
            if again + beat.start < section.end
        ]
        if self.layer == "over a held chord" and self.thick > 1:
            return self._held(rng, frame, section, beats)
        return self._together(rng, frame, section, beats)

    def _together(
        self, rng: Random, frame: Frame, section: Section, beats: Sequence[Beat]
    ) -> list[Sound]:
        """All voices in one rhythm, single ones in a line up and down the chord."""
        sounds = []
        pitches: Sequence[int] = ()
        turn = rng.choice((1, -1))
        place = 0
        for beat in beats:
            chord = section.span(beat.start).chord
            pitches = voice(chord, frame.key, max(self.thick, 4), self.centre, pitches)
            heavy = frame.meter.weight(beat.start) >= 2
            count = self.thick if heavy != self.light else self.thin
            detached = self.long == 0 or (self.short == 0 and beat.length < EIGHTH)
            length = min(beat.length, 2) if detached else beat.length
            if count == 1 or self.layer == "running":
                place = (place + turn) % len(pitches)
            first = min(place, len(pitches) - count) if count < len(pitches) else 0
            chosen = pitches[max(0, first) : max(0, first) + count]
            sounds += [Sound(beat.start, length, pitch) for pitch in chosen]
        return sounds

    def _held(
        self, rng: Random, frame: Frame, section: Section, beats: Sequence[Beat]
    ) -> list[Sound]:
        """The thin moments' voices held through each chord, the others moving above them."""
        held = min(self.thin, self.thick - 1)
        sounds = []
        pitches: Sequence[int] = ()
        for span in section.spans:
            pitches = voice(span.chord, frame.key, self.thick, self.centre, pitches)
            sounds += [Sound(span.start, span.end - span.start, p) for p in pitches[:held]]
            for beat in beats:
                if span.start <= beat.start < span.end:
                    lift = rng.choice((0, 0, 1, 2)) if len(pitches) - held == 1 else 0
                    sounds += [
                        Sound(beat.start, beat.length, _lifted(frame, p, lift))
                        for p in pitches[held:]
                    ]
        return sounds


def _lifted(frame: Frame, pitch: int, steps: int) -> int:
    return frame.key.pitch(frame.key.step(pitch) + steps)

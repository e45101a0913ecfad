"""Melodies: motifs that come again, over other chords and with other ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .dice import dice, weighted
from .frame import Sound
from .rhythm import Beat, fill

if TYPE_CHECKING:
    from random import Random

    from .frame import Frame, Section

PLANS = {"aaba": 2.0, "abac": 3.0, "aabc": 2.0, "abab": 2.0, "aaab": 1.5, "abcd": 0.5}
"""Which motif the four quarters of a phrase begin with."""

DOUBLINGS: dict[tuple[int, ...], float] = {
    (): 10.0,
    (-2,): 1.2,
    (-5,): 0.8,
    (-7,): 1.2,
    (-2, -4): 0.7,
    (-2, -4, -7): 0.5,
}
"""Steps below the melody at which further voices go along, with their odds."""

PACES = {(1, 2): 2.0, (1, 3): 2.0, (2, 3): 5.0, (2, 2): 1.5, (2, 4): 3.0, (3, 4): 2.0, (3, 5): 1.0}
"""Shorter and longer note values, as in :func:`composer.rhythm.fill`."""


class Motif(NamedTuple):
    """A rhythm, and how many steps each note is above the one before."""

    rhythm: list[Beat]
    moves: list[int]


@dataclass(frozen=True)
class Melody:
    """A melodic line.

    Attributes:
        centre: pitch around which it moves.
        pace: its shorter and longer note values.
        rests: the share of its notes that are left out.
        doubling: steps below it at which further voices go along.
        gate: the share of a note's time that it sounds.
    """

    centre: int
    pace: tuple[int, int]
    rests: float
    doubling: tuple[int, ...]
    gate: float

    @classmethod
    def draw(cls, rng: Random, centre: int) -> Melody:
        """Any melody around a pitch."""
        return cls(
            centre,
            weighted(rng, PACES),
            rng.choice((0.0, 0.0, 0.1, 0.25)),
            weighted(rng, DOUBLINGS),
            rng.choice((1.0, 1.0, 1.0, 0.9, 0.5)),
        )

    def play(self, rng: Random, frame: Frame, section: Section) -> list[Sound]:
        """The melody of a section, phrase by phrase; later phrases vary the first."""
        unit = section.phrase * frame.meter.bar // 4
        seed = rng.random()
        plan = weighted(rng, PLANS)
        motifs = {letter: self._motif(dice(seed, letter), frame, unit) for letter in plan}
        step = frame.key.step(self.centre)
        sounds: list[Sound] = []
        for phrase in range(section.bars // section.phrase):
            last = phrase == section.bars // section.phrase - 1
            for quarter, letter in enumerate(plan):
                start = (4 * phrase + quarter) * unit
                part, step = self._realise(rng, frame, section, motifs[letter], start, step)
                if quarter == 3 and part:
                    part = _closed(part, frame, section, start + unit, last=last)
                sounds += part
        return [voice for sound in sounds for voice in self._doubled(frame, sound)]

    def _motif(self, rng: Random, frame: Frame, unit: int) -> Motif:
        rhythm = fill(rng, frame.meter, unit, *self.pace)
        if len(rhythm) > 2:
            rhythm = [beat for beat in rhythm if rng.random() >= self.rests] or rhythm
        moves = [weighted(rng, {0: 1.0, 1: 3.0, -1: 3.0, 2: 1.2, -2: 1.2, 4: 0.4, -3: 0.4})]
        while len(moves) < len(rhythm):
            onwards = moves[-1] > 0 and rng.random() < 0.4
            moves.append(
                1 if onwards else weighted(rng, {0: 0.7, 1: 3.0, -1: 3.4, 2: 1.0, -2: 1.0})
            )
        return Motif(rhythm, moves)

    def _realise(
        self, rng: Random, frame: Frame, section: Section, motif: Motif, start: int, step: int
    ) -> tuple[list[Sound], int]:
        """A motif over the chords at ``start``, and the step it ends on."""
        key = frame.key
        middle = key.step(self.centre)
        sounds = []
        for beat, move in zip(motif.rhythm, motif.moves, strict=True):
            place = start + beat.start
            step += move + (rng.choice((-1, 1)) if rng.random() < 0.05 else 0)
            step += (step < middle - 6) * 3 - (step > middle + 7) * 3
            if frame.meter.weight(place) >= 2 or beat.length >= 12:
                step = _nearest_chord_step(section.span(place).chord.steps(), step)
            sounds.append(Sound(place, max(1, int(beat.length * self.gate)), key.pitch(step)))
        return sounds, step

    def _doubled(self, frame: Frame, sound: Sound) -> list[Sound]:
        step = frame.key.step(sound.pitch)
        return [sound] + [
            sound._replace(pitch=frame.key.pitch(step + below)) for below in self.doubling
        ]


def _closed(
    part: list[Sound], frame: Frame, section: Section, end: int, *, last: bool
) -> list[Sound]:
    """The part with a long last note that belongs to its chord: the root, where all ends."""
    tail = end - min(2 * frame.meter.beat, frame.meter.bar)
    kept = [sound for sound in part if sound.start < tail]
    steps = section.span(tail).chord.steps()[: 1 if last else 3]
    step = _nearest_chord_step(steps, frame.key.step(part[-1].pitch))
    return [*kept, Sound(tail, end - tail, frame.key.pitch(step), 4)]


def _nearest_chord_step(chord: tuple[int, ...], step: int) -> int:
    degrees = {note % 7 for note in chord}
    return min(
        (step + away for away in (0, 1, -1, 2, -2, 3, -3)), key=lambda s: s % 7 not in degrees
    )

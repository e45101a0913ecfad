"""Bass lines: how the roots of the chords are played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dice import weighted
from .frame import Sound
from .meter import EIGHTH, QUARTER, SIXTEENTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from .frame import Frame, Section
    from .harmony import Span

ROOT, FIFTH, OCTAVE = 0, 7, 12

Stroke = tuple[int, int, int]
"""Start under the chord, length, and which note: root, fifth or octave."""


def _held(length: int, _: int) -> Iterator[Stroke]:
    yield 0, length, ROOT


def _roots(length: int, beat: int) -> Iterator[Stroke]:
    return ((start, beat, ROOT) for start in range(0, length, beat))


def _root_and_fifth(length: int, beat: int) -> Iterator[Stroke]:
    return ((s, beat, FIFTH if s // beat % 2 else ROOT) for s in range(0, length, beat))


def _octaves(length: int, _: int) -> Iterator[Stroke]:
    return ((s, EIGHTH, OCTAVE if s // EIGHTH % 2 else ROOT) for s in range(0, length, EIGHTH))


def _pulse(length: int, _: int) -> Iterator[Stroke]:
    return ((start, EIGHTH, ROOT) for start in range(0, length, EIGHTH))


def _syncopated(_: int, __: int) -> Iterator[Stroke]:
    for start, ticks in ((0, 18), (18, 12), (30, 6), (36, 12), (48, 18), (66, 30)):
        yield start, ticks, FIFTH if start == 30 else ROOT


def _sixteenths(length: int, _: int) -> Iterator[Stroke]:
    places = range(0, length, SIXTEENTH)
    return ((start, SIXTEENTH, ROOT) for start in places if start % QUARTER != EIGHTH)


STYLES: dict[str, tuple[float, Callable[[int, int], Iterator[Stroke]] | None]] = {
    "held": (2.0, _held),
    "roots": (3.0, _roots),
    "root and fifth": (2.0, _root_and_fifth),
    "octaves": (2.0, _octaves),
    "walking": (2.0, None),
    "pulse": (2.0, _pulse),
    "syncopated": (2.0, _syncopated),
    "sixteenths": (0.7, _sixteenths),
}
"""Odds and pattern, by name; a pattern takes the ticks of the chord and of a beat."""


@dataclass(frozen=True)
class Bass:
    """A bass line of one style.

    Attributes:
        style: a key of :data:`STYLES`.
        low: the lowest pitch it plays.
        gate: the share of a note's time that it sounds.
    """

    style: str
    low: int
    gate: float

    @classmethod
    def draw(cls, rng: Random) -> Bass:
        """Any style."""
        style = weighted(rng, {name: odds for name, (odds, _) in STYLES.items()})
        return cls(style, rng.randint(28, 36), rng.choice((1.0, 1.0, 0.9, 0.6)))

    def play(self, rng: Random, frame: Frame, section: Section) -> list[Sound]:
        """The line under a section."""
        sounds = []
        for index, span in enumerate(section.spans):
            following = section.spans[(index + 1) % len(section.spans)]
            for start, length, pitch in self._figure(rng, frame, span, following):
                room = min(length, span.end - span.start - start)
                if room > 0:
                    held = max(1, int(room * self.gate))
                    sounds.append(Sound(span.start + start, held, pitch))
        return sounds

    def _figure(
        self, rng: Random, frame: Frame, span: Span, following: Span
    ) -> Iterator[tuple[int, int, int]]:
        """Start in the span, length and pitch of the notes under a chord."""
        _, pattern = STYLES[self.style]
        if pattern is None:
            yield from self._walk(rng, frame, span, self._pitch(frame, following.chord.root))
            return
        root = self._pitch(frame, span.chord.root)
        fifth = self._pitch(frame, span.chord.root + 4)
        pitches = {ROOT: root, FIFTH: fifth, OCTAVE: root + 12}
        for start, length, which in pattern(span.end - span.start, frame.meter.beat):
            yield start, length, pitches[which]

    def _walk(
        self, rng: Random, frame: Frame, span: Span, goal: int
    ) -> Iterator[tuple[int, int, int]]:
        """From the root, by steps and chord notes, to a step from where the next chord begins."""
        key, beat = frame.key, frame.meter.beat
        count = (span.end - span.start) // beat
        pitch = self._pitch(frame, span.chord.root)
        for index in range(count):
            yield index * beat, beat, pitch
            if index == count - 2:
                pitch = key.pitch(key.step(goal) + rng.choice((-1, 1)))
            elif index % 2:
                pitch = rng.choice(span.chord.ladder(key, self.low, self.low + 16))
            else:
                pitch = key.pitch(key.step(pitch) + rng.choice((-1, 1, 2)))

    def _pitch(self, frame: Frame, step: int) -> int:
        """The lowest pitch of a degree that is not too low."""
        pitch = frame.key.pitch(step)
        return self.low + (pitch - self.low) % 12

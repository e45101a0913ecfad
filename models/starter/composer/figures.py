"""Comping: figurations in which chords are played, each a pattern of places and voices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from .dice import weighted
from .frame import Sound
from .meter import EIGHTH, QUARTER, SIXTEENTH, Meter
from .voicing import voice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from .frame import Frame, Section

Stroke = tuple[int, int, range]
"""Start under the chord, length, and which voices, counted from below."""


class Place(NamedTuple):
    """Where a chord is to be played: its first tick in the section, its ticks, and its meter."""

    start: int
    length: int
    meter: Meter


def _pad(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    yield 0, place.length, voices


def _blocks(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    beat = place.meter.beat
    return ((start, beat, voices) for start in range(0, place.length, beat))


def _pulse(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    return ((start, EIGHTH, voices) for start in range(0, place.length, EIGHTH))


def _off_beats(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    beat = place.meter.beat
    first = EIGHTH if beat == QUARTER else 2 * EIGHTH
    return ((start, EIGHTH, voices) for start in range(first, place.length, beat))


def _charleston(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    for bar in range(0, place.length, 4 * QUARTER):
        yield bar, 18, voices
        if bar + 18 < place.length:
            yield bar + 18, EIGHTH, voices


def _stabs(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    every = 2 * place.meter.beat
    return ((start, SIXTEENTH, voices) for start in range(0, place.length, every))


def _oom_pah(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    beat = place.meter.beat
    for start in range(0, place.length, beat):
        first = start == 0 or (place.start + start) % place.meter.bar == 0
        yield start, beat, voices[:1] if first else voices[1:]


def _tremolo(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    half = max(1, len(voices) // 2)
    for start in range(0, place.length, SIXTEENTH):
        yield start, SIXTEENTH, voices[half:] if start // SIXTEENTH % 2 else voices[:half]


def _arpeggio(place: Place, voices: range, shape: str) -> Iterator[Stroke]:
    return _broken(place, voices, shape, EIGHTH)


def _alberti(place: Place, voices: range, _: str) -> Iterator[Stroke]:
    return _broken(place, voices, "alberti", EIGHTH)


def _rolling(place: Place, voices: range, shape: str) -> Iterator[Stroke]:
    return _broken(place, voices, shape, SIXTEENTH)


def _harp(place: Place, voices: range, shape: str) -> Iterator[Stroke]:
    """The voices one by one, each ringing until the chord ends."""
    strokes = islice(_broken(place, voices, shape, EIGHTH), len(voices))
    return ((start, place.length - start, voice) for start, _, voice in strokes)


def _broken(place: Place, voices: range, shape: str, step: int) -> Iterator[Stroke]:
    """The voices one by one."""
    order = _order(len(voices), shape)
    for index, start in enumerate(range(0, place.length, step)):
        chosen = order[index % len(order)]
        yield start, step, voices[chosen : chosen + 1]


def _order(count: int, shape: str) -> list[int]:
    up = list(range(count))
    if shape == "up":
        return up
    if shape == "down":
        return up[::-1]
    if shape == "alberti":
        return [0, count - 1, count // 2, count - 1]
    return up + up[-2:0:-1]


FIGURES: dict[str, tuple[float, Callable[[Place, range, str], Iterator[Stroke]]]] = {
    "pad": (3.0, _pad),
    "blocks": (2.5, _blocks),
    "pulse": (1.5, _pulse),
    "off-beats": (1.5, _off_beats),
    "charleston": (1.5, _charleston),
    "arpeggio": (2.0, _arpeggio),
    "alberti": (1.5, _alberti),
    "harp": (1.5, _harp),
    "oom-pah": (1.5, _oom_pah),
    "rolling sixteenths": (1.0, _rolling),
    "stabs": (1.0, _stabs),
    "tremolo": (0.5, _tremolo),
}
"""Odds and pattern, by name; a pattern takes the place, the voices and an order of voices."""


@dataclass(frozen=True)
class Comping:
    """Chords in one figuration.

    Attributes:
        figure: a key of :data:`FIGURES`.
        voices: number of voices.
        centre: pitch around which they lie.
        gate: the share of a note's time that it sounds.
        open_position: whether the voices are spread.
    """

    figure: str
    voices: int
    centre: int
    gate: float
    open_position: bool

    @classmethod
    def draw(cls, rng: Random, centre: int) -> Comping:
        """Any figuration, around a pitch."""
        return cls(
            weighted(rng, {name: odds for name, (odds, _) in FIGURES.items()}),
            weighted(rng, {2: 1.5, 3: 4.0, 4: 3.0, 5: 1.2, 6: 0.6}),
            centre,
            rng.choice((1.0, 1.0, 1.0, 0.8, 0.5)),
            rng.random() < 0.25,
        )

    def play(self, rng: Random, frame: Frame, section: Section) -> list[Sound]:
        """The chords of a section."""
        _, pattern = FIGURES[self.figure]
        shape = rng.choice(("up", "down", "both"))
        sounds = []
        pitches: Sequence[int] = ()
        for span in section.spans:
            pitches = voice(
                span.chord,
                frame.key,
                self.voices,
                self.centre,
                pitches,
                open_position=self.open_position,
            )
            place = Place(span.start, span.end - span.start, frame.meter)
            for start, length, chosen in pattern(place, range(len(pitches)), shape):
                ticks = max(1, int(length * self.gate))
                sounds += [Sound(span.start + start, ticks, pitches[v]) for v in chosen]
        return sounds

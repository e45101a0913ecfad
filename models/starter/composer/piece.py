"""Pieces: a frame, an ensemble, and what they play as a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.score import Bar, Note, Score, Track

from .dice import dice
from .ensemble import ensemble
from .frame import Frame
from .keys import Key
from .meter import QUARTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from .ensemble import Player
    from .frame import Sound

LONGEST = 8 * QUARTER
"""Ticks that a note may last; the encoder has no words for more."""


@dataclass(frozen=True)
class Piece:
    """A composed piece.

    Attributes:
        score: its music, in ticks of a twelfth of a quarter note.
        key: the key that all its pitches belong to.
    """

    score: Score
    key: Key


def compose(name: object) -> Piece:
    """A piece of 8 to 32 bars for one to eight instruments; of the same name always the same."""
    rng = dice(name, "piece")
    frame = Frame.draw(rng, name)
    players = ensemble(rng, frame)
    tempo = round(60_000_000 / rng.randint(60, 168))
    tracks = [_track(dice(name, "player", i), frame, p) for i, p in enumerate(players)]
    return Piece(Score(tracks, QUARTER, tempo), frame.key)


def _track(rng: Random, frame: Frame, player: Player) -> Track:
    meter = frame.meter
    bars = [Bar([], meter.numerator, meter.denominator) for _ in range(frame.bars)]
    seed = rng.random()
    for section in frame.sections:
        if section.letter in player.tacet:
            continue
        sounds = player.part.play(dice(seed, section.letter), frame, section)
        swell = rng.choice((-8, 0, 0, 6))
        for start, group in _by_onset(sounds).items():
            touch = player.loudness + swell + 4 * meter.weight(start) - 6
            touch += rng.randint(-player.human, player.human)
            bar, onset = divmod(start, meter.bar)
            bars[section.first + bar].notes += _notes(group, onset, touch)
    return Track(bars, player.program, "drum" if player.drum else "melodic")


def _by_onset(sounds: Iterable[Sound]) -> dict[int, list[Sound]]:
    """Sounds that begin together, each pitch once, in order of time and pitch."""
    groups: dict[int, dict[int, Sound]] = {}
    for sound in sounds:
        groups.setdefault(sound.start, {}).setdefault(sound.pitch, sound)
    return {start: [groups[start][p] for p in sorted(groups[start])] for start in sorted(groups)}


def _notes(group: Iterable[Sound], onset: int, touch: int) -> Iterator[Note]:
    for sound in group:
        velocity = min(max(touch + sound.stress, 12), 124)
        pitch = min(max(sound.pitch, 12), 115)
        yield Note(pitch, velocity, onset, min(sound.length, LONGEST))

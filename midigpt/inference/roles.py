"""What a track does in a piece, and how much that matters to another."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from midigpt.score import Note, Track

_CORE = frozenset(range(35, 41))
_HATS = frozenset({42, 44, 46, 49, 51, 52, 53, 55, 57, 59})
_DRUM_ROLES = frozenset({"kit", "hats", "perc"})

_ROLES = ("bass", "harmony", "lead", "kit", "hats", "perc", "other")
_RELEVANCE = {
    "melodic": dict(zip(_ROLES, (0.9, 0.8, 0.6, 0.6, 0.35, 0.35, 0.3), strict=True)),
    "bass": dict(zip(_ROLES, (0.6, 0.8, 0.5, 0.95, 0.5, 0.5, 0.3), strict=True)),
    "drums": dict(zip(_ROLES, (0.8, 0.4, 0.3, 0.9, 0.7, 0.6, 0.3), strict=True)),
}
_SAME_FAMILY = 0.1


class Character(NamedTuple):
    """What a track does, and what on.

    Attributes:
        role: bass, harmony, lead, kit, hats, perc, or other when it is empty.
        family: the family of its instrument; all drums are of one.
    """

    role: str
    family: int

    @classmethod
    def of(cls, track: Track, resolution: int) -> Character:
        """That of a track."""
        return cls(role(track, resolution), -1 if track.is_drum else track.instrument // 8)


def role(track: Track, resolution: int) -> str:
    """The role of a track: bass, harmony, lead, kit, hats, perc, or other when it is empty."""
    notes = [note for bar in track.bars for note in bar.notes]
    if not notes:
        return "other"
    return _drum_role(notes) if track.is_drum else _melodic_role(track, notes, resolution)


def relevance(context: Character, target: Character) -> float:
    """How much the target's music depends on the context's, from 0 to 1.05."""
    wanted = target.role
    kind = "drums" if wanted in _DRUM_ROLES else "bass" if wanted == "bass" else "melodic"
    same = context.family == target.family
    return _RELEVANCE[kind][context.role] + (_SAME_FAMILY if same else 0.0)


def _drum_role(notes: list[Note]) -> str:
    core = sum(note.pitch in _CORE for note in notes)
    hats = sum(note.pitch in _HATS for note in notes)
    if core >= hats and core > 0.25 * len(notes):
        return "kit"
    return "hats" if hats > 0.5 * len(notes) else "perc"


def _melodic_role(track: Track, notes: list[Note], resolution: int) -> str:
    sixteenth = max(1, resolution // 4)
    onsets = sorted(
        (index, round(note.onset_ticks / sixteenth))
        for index, bar in enumerate(track.bars)
        for note in bar.notes
    )
    polyphony = len(notes) / sum(1 for _ in groupby(onsets))
    pitch = sum(note.pitch for note in notes) / len(notes)
    if pitch < 50 and polyphony < 1.3:
        return "bass"
    return "harmony" if polyphony >= 1.8 else "lead"

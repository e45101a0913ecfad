"""Ensembles: who plays what, on which instrument and in which register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .bass import Bass
from .dice import weighted
from .drums import Drums
from .figures import Comping
from .melody import Melody
from .texture import Texture

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from .frame import Frame, Section, Sound

KEYS = (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
MALLETS = (8, 9, 10, 11, 12, 13, 14, 15, 108, 112, 114)
GUITARS = (24, 25, 26, 27, 28, 29, 30, 31, 104, 105, 106, 107)
BASSES = (32, 33, 34, 35, 36, 37, 38, 39, 43, 58)
BOWED = (40, 41, 42, 44, 45, 110, 48, 49)
PADS = (48, 49, 50, 51, 52, 53, 54, 61, 62, 63, 88, 89, 90, 91, 92, 93, 94, 95, 19, 21)
WINDS = (56, 57, 59, 60, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 109, 111)
SYNTHS = (80, 81, 82, 83, 84, 85, 86, 87, 96, 98, 99, 100)

ROLES: dict[str, tuple[int, ...]] = {
    "melody": KEYS[:6] + WINDS + SYNTHS[:8] + BOWED[:3] + MALLETS[:6] + GUITARS[:4],
    "bass": BASSES,
    "comping": KEYS + GUITARS + MALLETS[3:6] + PADS[:4],
    "pad": PADS,
    "texture": KEYS + PADS + MALLETS + GUITARS + BOWED + WINDS + SYNTHS,
}
"""Programs of each melodic role."""

SIZES = {1: 1.2, 2: 1.6, 3: 2.0, 4: 2.2, 5: 1.6, 6: 1.0, 7: 0.5, 8: 0.4}
"""Numbers of tracks, with their odds."""


class Part(Protocol):
    """What one player does."""

    def play(self, rng: Random, frame: Frame, section: Section) -> Iterable[Sound]:
        """The notes of a section; of the same ``rng`` always the same."""


@dataclass(frozen=True)
class Player:
    """A track of the piece.

    Attributes:
        part: what is played.
        program: General MIDI program.
        drum: whether it is a drum kit.
        loudness: velocity of a note without stress.
        human: how unevenly it plays, in steps of velocity.
        tacet: letters of the sections in which it rests.
    """

    part: Part
    program: int
    drum: bool
    loudness: int
    human: int
    tacet: frozenset[str] = frozenset()


def ensemble(rng: Random, frame: Frame) -> list[Player]:
    """One to eight players; in ensembles, one or two may rest in a section."""
    size = weighted(rng, SIZES)
    roles = _roles(rng, size)
    rng.shuffle(roles)
    letters = sorted({section.letter for section in frame.sections})
    players = []
    for index, role in enumerate(roles):
        rests = index >= 2 and len(letters) > 1 and rng.random() < 0.15
        tacet = frozenset({rng.choice(letters)}) if rests else frozenset[str]()
        players.append(_player(rng, frame, role, tacet))
    return players


def _roles(rng: Random, size: int) -> list[str]:
    """A band has drums, bass and a melody before anything else; soloists play anything."""
    if size == 1:
        return [weighted(rng, {"texture": 3, "melody": 2, "comping": 2, "drums": 2, "bass": 0.5})]
    wanted = ["melody"] if rng.random() < 0.8 else []
    wanted += ["drums"] * (rng.random() < (0.8 if size > 2 else 0.4))
    wanted += ["bass"] * (rng.random() < (0.75 if size > 2 else 0.3))
    wanted = wanted[:size]
    further = {"texture": 7.0, "comping": 2.0, "pad": 1.0, "melody": 0.7}
    return wanted + [weighted(rng, further) for _ in range(size - len(wanted))]


def _player(rng: Random, frame: Frame, role: str, tacet: frozenset[str]) -> Player:
    human = rng.choice((0, 2, 4, 8))
    loudness = rng.randint(56, 100)
    if role == "drums":
        kit = 0 if rng.random() < 0.85 else rng.choice((8, 16, 24, 25, 32, 40, 48))
        return Player(Drums.draw(rng, frame.meter), kit, True, loudness, human, tacet)
    program = rng.randrange(120) if rng.random() < 0.12 else rng.choice(ROLES[role])
    return Player(_part(rng, role), program, False, loudness, human, tacet)


def _part(rng: Random, role: str) -> Part:
    if role == "bass":
        return Bass.draw(rng)
    if role == "melody":
        return Melody.draw(rng, rng.choice((60, 67, 72, 76, 79)) + rng.randint(-3, 3))
    if role == "comping":
        return Comping.draw(rng, rng.randint(52, 68))
    if role == "pad":
        return Comping("pad", rng.randint(3, 6), rng.randint(52, 70), 1.0, rng.random() < 0.4)
    return Texture.draw(rng)

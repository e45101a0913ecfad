"""A composer: multitrack pieces made by rule, from nothing but a name.

Keys and modes, chords that follow their functions, voice leading, bass lines, figurations,
melodies with motifs and cadences, grooves with fills. It knows no music but its own.
"""

from .keys import Key
from .piece import Piece, compose

__all__ = ["Key", "Piece", "compose"]

"""Genres: their names, their aliases, and the numbers their tokens carry."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from midigpt.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# only A to Z fold, as in the alias lists of published encoders
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Genres:
    """The genres of an encoder, numbered in the order of their names (upper case first).

    Args:
        groups: canonical name to its aliases. A spelling in several groups means the last of them.

    Attributes:
        names: the canonical names; a genre's place is the value of its token.
    """

    def __init__(self, groups: Mapping[str, Sequence[str]]) -> None:
        self.names = tuple(sorted(groups))
        self._values = {
            spelling.translate(_FOLD): value
            for value, name in enumerate(self.names)
            for spelling in (name, *groups[name])
        }

    def num_genres(self) -> int:
        """How many genres there are."""
        return len(self.names)

    def contains(self, name: str) -> bool:
        """Whether this is a genre's name or an alias, upper or lower case."""
        return name.translate(_FOLD) in self._values

    def encode(self, name: str) -> int:
        """The number of a genre, given its name or an alias.

        Raises:
            EncodingError: no genre has that name.
        """
        if not self.contains(name):
            raise EncodingError(f"unknown genre {name!r}: one of {', '.join(self.names) or 'none'}")
        return self._values[name.translate(_FOLD)]

    def decode(self, value: int) -> str:
        """The canonical name of a genre, given its number.

        Raises:
            EncodingError: no genre has that number.
        """
        if not 0 <= value < len(self.names):
            raise EncodingError(f"genre {value} is outside 0..{len(self.names) - 1}")
        return self.names[value]

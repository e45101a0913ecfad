"""Guesses at the next tokens of a row: music repeats itself.

A decoder may read a guess together with the token before it at little more cost than that token
alone. Where the draw then agrees, the logits after it are there already; where it does not, the
guess is forgotten. Either way the same tokens are drawn from the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Guesser:
    """Guesses that what followed the last two tokens before will follow them again.

    Args:
        tokens: what the row begins with.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._places: dict[tuple[int, int], int] = {}
        self._last = (-1, -1)
        self._read(tokens)

    def guess(self, start: int, sampled: Sequence[int], most: int) -> list[int]:
        """At most ``most`` tokens that may come next.

        Args:
            start: tokens the row began with.
            sampled: all it has now after those; more than at the last call.
            most: how many to guess.
        """
        self._read(sampled[len(self._tokens) - start :])
        place = self._places.get(self._last)
        return [] if place is None else self._tokens[place : place + most]

    def _read(self, tokens: Sequence[int]) -> None:
        for token in tokens:
            self._places[self._last] = len(self._tokens)
            self._tokens.append(token)
            self._last = (self._last[1], token)

"""What a request adds to the grammar: limits on the number of notes, and fixed levels and meters.

Each constraint observes every token and removes tokens from a mask of shape (V,); the order in
which several are applied does not matter.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np

from midigpt.tokens.grammar_types import NOTE_TYPES, ONSET_TYPES, POSITION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from midigpt.inference.rules import Mask
    from midigpt.tokens import Vocabulary

_BAR_TYPES = frozenset({"Bar", "BarEnd", "FillInStart", "FillInEnd"})


class _Cap:
    """Takes away all that leads to another note once ``limit`` notes have been counted.

    Args:
        vocabulary: the vocabulary.
        limit: the most notes, at least 1.
        restarts: token types that start the count anew.
        removed: token types that are taken away.
    """

    __slots__ = ("_count", "_kept", "_limit", "_onsets", "_restarts")

    def __init__(
        self, vocabulary: Vocabulary, limit: int, restarts: Iterable[str], removed: Iterable[str]
    ) -> None:
        self._limit = limit
        self._onsets = _tokens(vocabulary, ONSET_TYPES)
        self._restarts = _tokens(vocabulary, restarts)
        self._kept = np.ones(len(vocabulary), dtype=np.bool_)
        for type_ in removed:
            self._kept[vocabulary.span(type_)] = False
        self._count = 0

    def advance(self, token: int) -> None:
        """Observe a token."""
        if token in self._onsets:
            self._count += 1
        elif token in self._restarts:
            self._count = 0

    def restrict(self, mask: Mask) -> None:
        """Clear what the limit forbids now, shape (V,), in place."""
        if self._count >= self._limit:
            mask &= self._kept

    def copy(self) -> Self:
        """An independent copy in the same state."""
        return copy(self)


class DensityCap(_Cap):
    """At most ``limit`` notes in a bar."""

    __slots__ = ()

    def __init__(self, vocabulary: Vocabulary, limit: int) -> None:
        super().__init__(vocabulary, limit, _BAR_TYPES, NOTE_TYPES | {POSITION})


class PolyphonyCap(_Cap):
    """At most ``limit`` notes at one position of a bar."""

    __slots__ = ()

    def __init__(self, vocabulary: Vocabulary, limit: int) -> None:
        super().__init__(vocabulary, limit, _BAR_TYPES | {POSITION}, NOTE_TYPES)


class ValueConstraint:
    """Tokens of one type may only have one value.

    Raises:
        EncodingError: the vocabulary has no such token.
    """

    __slots__ = ("_token", "_type")

    def __init__(self, vocabulary: Vocabulary, type_: str, value: int) -> None:
        self._token = vocabulary.encode(type_, value)
        self._type = vocabulary.span(type_)

    def advance(self, token: int) -> None:
        """Nothing to remember."""

    def restrict(self, mask: Mask) -> None:
        """Clear all other values, shape (V,), in place."""
        allowed = mask[self._token]
        mask[self._type] = False
        mask[self._token] = allowed

    def copy(self) -> Self:
        """It has no state of its own."""
        return self


class BarValueConstraint(ValueConstraint):
    """The same in one bar only.

    Args:
        vocabulary: the vocabulary.
        type_: the type of the tokens.
        value: the value they may have.
        track: place of the track in the token stream.
        bar: place of the bar in what the stream holds of the track; a negative one is never met.

    Raises:
        EncodingError: the vocabulary has no such token.
    """

    __slots__ = ("_bar", "_bars", "_here", "_track", "_tracks", "_wanted")

    def __init__(
        self, vocabulary: Vocabulary, type_: str, value: int, track: int, bar: int
    ) -> None:
        super().__init__(vocabulary, type_, value)
        self._wanted = (track, bar)
        self._tracks = vocabulary.span("Track")
        self._bars = vocabulary.span("Bar")
        self._track = -1
        self._bar = -1
        self._here = False

    def advance(self, token: int) -> None:
        """Observe a token."""
        if self._bars.start <= token < self._bars.stop:
            self._bar += 1
            self._here = (self._track, self._bar) == self._wanted
        elif self._tracks.start <= token < self._tracks.stop:
            self._track += 1
            self._bar = -1
            self._here = False

    def restrict(self, mask: Mask) -> None:
        """Clear all other values while in that bar, shape (V,), in place."""
        if self._here:
            super().restrict(mask)

    def copy(self) -> Self:
        """An independent copy in the same state."""
        return copy(self)


def _tokens(vocabulary: Vocabulary, types: Iterable[str]) -> frozenset[int]:
    """The ids of all tokens of these types."""
    spans = [vocabulary.span(type_) for type_ in types]
    return frozenset(token for span in spans for token in range(span.start, span.stop))

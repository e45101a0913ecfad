"""What one row may sample next: the grammar's row, intersected by small constraint objects."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from midigpt.inference.prompt import Block
from midigpt.tokens.grammar import GrammarState
from midigpt.tokens.grammar_types import NOTE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from midigpt.tokens import Vocabulary
    from midigpt.tokens.grammar_table import Chart

Mask = NDArray[np.bool_]
"""Tokens, (V,) or (B, V), that may be sampled."""

LEAST_BAR = 16
"""Tokens in which any bar can be opened, given a note and closed, wherever it stands."""

LEAST_HEADER = 8
"""Tokens in which a track can be given its attributes and closed."""

FREE_BAR = 256
"""No bar is asked to end before it has this many tokens, unless others need the room."""


class Constraint(Protocol):
    """Removes tokens from a mask, depending on the tokens seen."""

    def advance(self, token: int) -> None:
        """Observe a token."""

    def restrict(self, mask: Mask) -> None:
        """Clear what is not allowed now; shape (V,), in place."""

    def copy(self) -> Self:
        """An independent copy in the same state."""


class Outlook(NamedTuple):
    """The rules of a row as far as they can be followed by somebody else for a while.

    Attributes:
        chart: its grammar.
        state: the state in that.
        window: the first position of the window, and its end.
        allowed: what the other rules leave now, (V,).
    """

    chart: Chart
    state: int
    window: tuple[int, int]
    allowed: Mask


@dataclass(slots=True, eq=False)
class Rules:
    """The rules of one row. Each only removes tokens from what the ones before it left.

    Attributes:
        grammar: the state of the grammar.
        watching: constraints that see the prompt and what is sampled.
        forcing: constraints that see only what is sampled.
        room: keeps bars from using each other's room.
        blocks: the bars to be filled in, in order; none for a continuation.
        ends: the tokens that open and close what is written.
        begun: how many of the blocks have begun.
    """

    grammar: GrammarState
    watching: Sequence[Constraint]
    forcing: Sequence[Constraint]
    room: Room
    blocks: Sequence[Block]
    ends: Ends
    begun: int = 0

    def read(self, prompt: Iterable[int]) -> None:
        """Observe the prompt; one for fills ends with the start of the first."""
        for token in prompt:
            self.grammar.advance(token)
            for rule in self.watching:
                rule.advance(token)
        self._begin_fill()

    def advance(self, token: int) -> None:
        """Observe a sampled token."""
        self.grammar.advance(token)
        for rule in self.watching:
            rule.advance(token)
        for rule in self.forcing:
            rule.advance(token)
        self.room.advance(token)
        if token == self.ends.fill_start:
            self._begin_fill()

    def mask(self, out: Mask) -> None:
        """Write the legal set, shape (V,)."""
        self.grammar.mask(out)
        for rule in self.watching:
            rule.restrict(out)
        if self.room.close(out):
            return
        for rule in self.forcing:
            rule.restrict(out)

    def outlook(self) -> Outlook:
        """What can be said at once about the next few tokens, if not about all of them."""
        grammar = self.grammar
        allowed = np.ones_like(grammar.chart.allowed[0])
        for rule in self.watching:
            rule.restrict(allowed)
        return Outlook(grammar.chart, grammar.state, (grammar.low, grammar.high), allowed)

    def complete(self, token: int) -> bool:
        """Whether the token just observed completes the step."""
        if self.blocks:
            return token == self.ends.fill_end and self.begun == len(self.blocks)
        return token in self.ends.track_ends

    def copy(self, first: Constraint | None = None) -> Rules:
        """An independent copy in the same state; ``first`` forces before the others do."""
        forcing = [rule.copy() for rule in self.forcing]
        return replace(
            self,
            grammar=self.grammar.copy(),
            watching=[rule.copy() for rule in self.watching],
            forcing=forcing if first is None else [first, *forcing],
            room=self.room.copy(),
        )

    def _begin_fill(self) -> None:
        if self.begun < len(self.blocks):
            block = self.blocks[self.begun]
            self.grammar.begin_fill(drum=block.drum, limit=block.limit)
            self.begun += 1


@dataclass(frozen=True)
class Ends:
    """The tokens that open and close what is written; -1 where the vocabulary lacks one.

    Attributes:
        fill_start: opens a fill.
        fill_end: closes a fill.
        track_ends: close a continuation.
        bar_ends: close a bar, be it a fill or part of a continuation.
    """

    fill_start: int
    fill_end: int
    track_ends: frozenset[int]
    bar_ends: frozenset[int]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Ends:
        """Those of a vocabulary."""

        def token(type_: str) -> int:
            return vocabulary.offset(type_) if type_ in vocabulary else -1

        return cls(
            fill_start=token("FillInStart"),
            fill_end=token("FillInEnd"),
            track_ends=frozenset({token("TrackEnd"), token("None")} - {-1}),
            bar_ends=frozenset({token("FillInEnd"), token("BarEnd")} - {-1}),
        )


class Room:
    """Keeps one bar from using up the tokens of the bars still to come.

    A bar that has had its share must end as soon as the grammar lets it. Bars of later steps give
    way first. Where there is not room for even the shortest bars of this step it stands back, and
    the step runs until its budget is used up.

    A bar counts as long as it may become when a later prompt tells it again: with its notes in
    another order, each of them may need its velocity.

    Args:
        vocabulary: the vocabulary.
        ends: the closing tokens.
        budget: tokens the step may sample.
        bars: bars this step writes.
        later: bars of later steps that must fit the same window.
    """

    __slots__ = ("_bars", "_ends", "_later", "_left", "_onsets", "_share", "_used", "_velocities")

    def __init__(
        self, vocabulary: Vocabulary, ends: Ends, budget: int, bars: int, later: int
    ) -> None:
        self._onsets = vocabulary.span("NoteOnset")
        self._velocities = vocabulary.span("VelocityLevel")
        self._ends = ends
        self._left = budget
        self._bars = bars
        self._later = min(later, max(0, budget // LEAST_BAR - bars))
        self._used = 0
        self._share = self._fair_share() if budget >= LEAST_BAR * bars else None

    def advance(self, token: int) -> None:
        """Observe a sampled token."""
        if self._velocities.start <= token < self._velocities.stop:
            return
        self._used += 2 if self._onsets.start <= token < self._onsets.stop else 1
        if token in self._ends.bar_ends and self._share is not None and self._bars > 1:
            self._bars -= 1
            self._left -= self._used
            self._used = 0
            self._share = self._fair_share()

    def close(self, mask: Mask) -> bool:
        """Leave only the end of the bar in the mask if it is time and possible; say whether."""
        if self._share is None or self._used < self._share:
            return False
        possible = [token for token in self._ends.bar_ends if mask[token]]
        if not possible:
            return False
        mask[:] = False
        mask[possible] = True
        return True

    def copy(self) -> Room:
        """An independent copy in the same state."""
        return copy(self)

    def _fair_share(self) -> int:
        bars = self._bars + self._later
        spare = self._left - LEAST_BAR * bars
        return min(max(self._left // bars - LEAST_BAR, FREE_BAR), spare)


class MeterKeeper:
    """Opens every sampled bar with the meter of the piece."""

    __slots__ = ("_bar", "_body", "_meter", "_meters", "_open", "_spans")

    def __init__(self, vocabulary: Vocabulary, meter: int) -> None:
        self._meter = meter
        self._bar = vocabulary.offset("Bar")
        self._meters = vocabulary.span("TimeSig")
        body = ("TimeAbsolutePos", *NOTE_TYPES, "NoteDuration", "BarEnd", "FillInEnd")
        self._spans = [vocabulary.span(type_) for type_ in body if type_ in vocabulary]
        self._open = False

    def advance(self, token: int) -> None:
        """Observe a sampled token."""
        if token == self._bar:
            self._open = True
        elif self._meters.start <= token < self._meters.stop:
            self._open = False

    def restrict(self, mask: Mask) -> None:
        """Where the meter is legal, no other is; a bar without one gets nothing else first."""
        if not mask[self._meter]:
            return
        mask[self._meters] = False
        mask[self._meter] = True
        if self._open:
            for span in self._spans:
                mask[span] = False

    def copy(self) -> MeterKeeper:
        """An independent copy in the same state."""
        return copy(self)


class Allowed:
    """Removes a fixed set of tokens."""

    __slots__ = ("_allowed",)

    def __init__(self, allowed: Mask) -> None:
        self._allowed = allowed

    def advance(self, token: int) -> None:
        """Nothing to remember."""

    def restrict(self, mask: Mask) -> None:
        """Clear everything else."""
        mask &= self._allowed

    def copy(self) -> Allowed:
        """It has no state of its own."""
        return self

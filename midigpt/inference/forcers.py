"""Constraints that lay down where notes go: an exact rhythm, or a variation on what was there."""

from __future__ import annotations

import random
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from midigpt.tokens.grammar_types import NOTE_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midigpt.inference.rules import Mask
    from midigpt.score import Bar
    from midigpt.tokens import Vocabulary


class _Words:
    """Where the tokens that forcers speak of lie in a vocabulary."""

    __slots__ = ("direction", "durations", "ends", "notes", "onsets", "positions")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.onsets = vocabulary.span("NoteOnset")
        self.positions = vocabulary.span("TimeAbsolutePos")
        self.durations = vocabulary.span("NoteDuration")
        self.direction = vocabulary.span("DeltaDirection")
        self.notes = [vocabulary.span(type_) for type_ in NOTE_TYPES]
        self.ends = [vocabulary.span(type_) for type_ in ("BarEnd", "FillInEnd")]

    def clear(self, mask: Mask, *spans: slice) -> None:
        for span in spans:
            mask[span] = False

    def keep_only(self, mask: Mask, span: slice, value: int) -> bool:
        """Leave one value of a type in the mask if it is legal; say whether."""
        token = span.start + value
        if value < 0 or token >= span.stop or not mask[token]:
            return False
        mask[span] = False
        mask[token] = True
        return True

    def finish_group(self, mask: Mask, following: int | None) -> None:
        """No more notes here: on to the position ``following``, or to the end of the bar."""
        self.clear(mask, *self.notes)
        if following is not None and self.keep_only(mask, self.positions, following):
            self.clear(mask, *self.ends)
        else:
            self.clear(mask, self.positions)


class ExactRhythm:
    """Every bar gets so many notes at each of the given positions, and none elsewhere.

    Args:
        vocabulary: the vocabulary of the masks.
        schedule: (position, number of notes), ascending from position 0.
    """

    __slots__ = ("_group", "_last", "_notes", "_schedule", "_words")

    def __init__(self, vocabulary: Vocabulary, schedule: Sequence[tuple[int, int]]) -> None:
        self._words = _Words(vocabulary)
        self._schedule = schedule
        self._group = 0
        self._notes = 0
        self._last = -1

    def advance(self, token: int) -> None:
        """Observe a sampled token."""
        words, self._last = self._words, token
        if _within(token, words.onsets):
            self._notes += 1
        elif _within(token, words.positions):
            self._group += 1
            self._notes = 0
        elif any(_within(token, span) for span in words.ends):
            self._group = self._notes = 0

    def restrict(self, mask: Mask) -> None:
        """Leave only what keeps to the schedule."""
        words, schedule = self._words, self._schedule
        if _within(self._last, words.direction):
            return
        if self._group >= len(schedule):
            words.clear(mask, *words.notes, words.positions)
        elif self._notes < schedule[self._group][1] and mask[words.onsets].any():
            words.clear(mask, words.positions, *words.ends)
        else:
            rest = schedule[self._group + 1 :]
            words.finish_group(mask, rest[0][0] if rest else None)

    def copy(self) -> ExactRhythm:
        """An independent copy in the same state."""
        return copy(self)


@dataclass(frozen=True)
class Model:
    """A note to be varied.

    Attributes:
        pitch: value of its NoteOnset token.
        duration: value of its NoteDuration token.
    """

    pitch: int
    duration: int


Group = tuple[int, tuple[Model, ...]]
"""A position and its notes in ascending pitch."""


def reference(bars: Iterable[Bar], lowest_pitch: int = 0) -> tuple[tuple[Group, ...], ...]:
    """The notes of bars on the token grid, grouped by onset.

    Args:
        bars: the bars.
        lowest_pitch: the pitch of NoteOnset value 0.
    """
    return tuple(
        tuple(
            (
                onset,
                tuple(Model(n.pitch - lowest_pitch, max(0, n.duration_ticks - 1)) for n in notes),
            )
            for onset, notes in groupby(
                sorted(bar.notes, key=lambda note: (note.onset_ticks, note.pitch)),
                key=lambda note: note.onset_ticks,
            )
        )
        for bar in bars
    )


class Variation:
    """Rewrites bars with their own rhythm; a share of their notes gets new pitches.

    Args:
        vocabulary: the vocabulary of the masks.
        bars: the bars as they are, in the order they are written.
        amount: share of the notes that are opened, at least one note.
        durations: whether the opened notes' durations are open as well.
        drum: whether notes have no durations.
        seed: chooses the opened notes.
    """

    __slots__ = (
        *("_awaiting", "_bar", "_bars", "_drum", "_durations", "_group", "_last", "_lead"),
        *("_note", "_opened", "_words"),
    )

    def __init__(
        self,
        vocabulary: Vocabulary,
        bars: Sequence[Sequence[Group]],
        amount: float,
        *,
        durations: bool,
        drum: bool,
        seed: int,
    ) -> None:
        places = [
            (b, g, n)
            for b, groups in enumerate(bars)
            for g, (_, notes) in enumerate(groups)
            for n in range(len(notes))
        ]
        count = min(len(places), max(1, round(amount * len(places))))
        self._opened = frozenset(random.Random(seed).sample(places, count))  # noqa: S311 - music
        self._words = _Words(vocabulary)
        self._bars = bars
        self._durations = durations
        self._drum = drum
        self._last = -1
        self._awaiting = self._lead = False
        self._bar = self._group = self._note = 0
        self._begin_bar(0)

    def advance(self, token: int) -> None:
        """Observe a sampled token."""
        words, self._last = self._words, token
        if _within(token, words.onsets):
            self._awaiting = not self._drum
            self._note += self._drum
        elif _within(token, words.durations) and self._awaiting:
            self._awaiting = False
            self._note += 1
        elif _within(token, words.positions):
            self._group += not self._lead
            self._note = 0
            self._lead = False
        elif any(_within(token, span) for span in words.ends):
            self._begin_bar(self._bar + 1)

    def restrict(self, mask: Mask) -> None:
        """Leave only what keeps to the reference."""
        words = self._words
        if _within(self._last, words.direction):
            return
        groups = self._bars[self._bar] if self._bar < len(self._bars) else None
        if groups is not None and not groups:
            return
        if groups is None or self._group >= len(groups):
            words.clear(mask, *words.notes, words.positions)
        elif self._awaiting:
            self._force_duration(mask, groups)
        elif not (self._lead and self._lead_in(mask, groups[0][0])):
            self._restrict_group(mask, groups)

    def copy(self) -> Variation:
        """An independent copy in the same state."""
        return copy(self)

    def _begin_bar(self, bar: int) -> None:
        self._bar = bar
        self._group = self._note = 0
        self._awaiting = False
        groups = self._bars[bar] if bar < len(self._bars) else ()
        self._lead = bool(groups) and groups[0][0] != 0

    def _lead_in(self, mask: Mask, first: int) -> bool:
        """Go to the first group's position; False where the bar must begin without it."""
        words = self._words
        if words.keep_only(mask, words.positions, first):
            words.clear(mask, *words.notes, *words.ends)
            return True
        if not mask[words.onsets].any() and not mask[words.positions].any():
            return True
        self._lead = False
        return False

    def _restrict_group(self, mask: Mask, groups: Sequence[Group]) -> None:
        words = self._words
        notes = groups[self._group][1]
        if self._note < len(notes) and mask[words.onsets].any():
            words.clear(mask, words.positions, *words.ends)
            if (self._bar, self._group, self._note) not in self._opened:
                words.keep_only(mask, words.onsets, notes[self._note].pitch)
            self._force_duration(mask, groups)
        else:
            rest = groups[self._group + 1 :]
            words.finish_group(mask, rest[0][0] if rest else None)

    def _force_duration(self, mask: Mask, groups: Sequence[Group]) -> None:
        notes = groups[self._group][1]
        place = (self._bar, self._group, self._note)
        if self._note < len(notes) and not (self._durations and place in self._opened):
            self._words.keep_only(mask, self._words.durations, notes[self._note].duration)


def _within(token: int, span: slice) -> bool:
    return bool(span.start <= token < span.stop)

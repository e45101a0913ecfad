"""How much of the context steps take, from the tokens of every bar, which are counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from midigpt.inference.draft import Draft
from midigpt.inference.plan import Step
from midigpt.inference.prompt import options, shown
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from numpy.typing import NDArray

    from midigpt.inference.language import Language
    from midigpt.inference.task import Part, Task
    from midigpt.score import Track
    from midigpt.tokens import Tokenizer

_BAR_FRAME = 4
"""Tokens of a bar that are not notes."""

_NOTE_TOKENS = {True: 2.5, False: 3.5}
_BAR_TOKENS = {True: 60, False: 40}
"""What a note and a bar take where there is nothing to go by, for drums and for others."""


@dataclass(frozen=True)
class Measured:
    """What a step takes of the context.

    Attributes:
        step: the step.
        length: tokens of its prompt.
        need: tokens of the prompt and, with the margin, of what will be written.
    """

    step: Step
    length: int
    need: float


@dataclass(frozen=True)
class PartSizes:
    """What one part takes.

    Attributes:
        drum: whether it is a drum track.
        frame: tokens before its first and after its last bar.
        bars: tokens of every bar, shown or hidden as the task has it.
        open: tokens of a bar that is to be filled in, for each that is.
        notes: notes of every bar.
    """

    drum: bool
    frame: int
    bars: Sequence[int]
    open: Mapping[int, int]
    notes: Sequence[int]

    @cached_property
    def before(self) -> Sequence[int]:
        """Tokens of all bars before each, and of all bars."""
        return [0, *accumulate(self.bars)]


class Sizes:
    """What the parts of a task take of its prompts.

    A bar takes the same in every prompt that shows it, wherever the window begins.

    Args:
        head: tokens before the first track.
        end: tokens that close a track.
        parts: one for each part of the task.

    Attributes:
        parts: as given.
    """

    def __init__(self, head: int, end: int, parts: Sequence[PartSizes]) -> None:
        self.parts = parts
        self._head = head
        self._end = end
        self._frames = sum(part.frame for part in parts)
        columns: Iterable[tuple[int, ...]] = zip(*(part.before for part in parts), strict=True)
        self._before = [sum(column) for column in columns]

    @classmethod
    def of(
        cls, task: Task, score: Score, language: Language, check: Callable[[], None] = lambda: None
    ) -> Sizes:
        """Count the tokens of every bar of a score.

        Args:
            task: what the request asks for.
            score: the score of the request.
            language: what the checkpoint's encoder defines.
            check: called every few milliseconds of work; what it raises ends the work.
        """
        whole = Draft(task, score, language)
        check()
        read = whole.window((0, len(score.tracks[0].bars)))
        counter, parts = _Counter(task, language.tokenizer), []
        for part, track in zip(task.parts, read.tracks, strict=True):
            check()
            counted = counter.count(part, track, read.resolution)
            to_fill = frozenset() if part.autoregressive else part.bars
            filled = counter.count(part, track, read.resolution, to_fill) if to_fill else counted
            opened = {b: filled.bars[b] for b in to_fill}
            notes = [len(bar.notes) for bar in track.bars]
            parts.append(PartSizes(part.drum, counted.frame, counted.bars, opened, notes))
        return cls(counted.head, counter.end, parts)

    def without(self, parts: Collection[int]) -> Sizes:
        """Those of the other parts."""
        kept = [part for t, part in enumerate(self.parts) if t not in parts]
        return Sizes(self._head, self._end, kept)

    def measured(self, step: Step, margin: float) -> Measured:
        """What a step takes.

        Args:
            step: the step.
            margin: factor on what it will probably write.
        """
        length = self._length(step)
        expected = sum(self._expected(t, bars, step) for t, bars in step.bars.items())
        return Measured(step, length, length + margin * expected)

    def part(self, t: int, step: Step) -> int:
        """Prompt tokens of a part."""
        part, bars = self.parts[t], self._shown(t, step)
        tokens = part.frame + part.before[bars.stop] - part.before[bars.start]
        if step.autoregressive:
            return tokens - self._end if t == step.active_track else tokens
        return tokens + sum(part.open[b] - part.bars[b] for u, b in step.targets if u == t)

    def _length(self, step: Step) -> int:
        """Tokens of the prompt."""
        start, end = step.window
        tokens = self._head + self._frames + self._before[end] - self._before[start]
        if step.autoregressive:
            before = self.parts[step.active_track].before
            shown = self._shown(step.active_track, step)
            return tokens - (before[end] - before[shown.stop]) - self._end
        fill_start = 1
        opened = sum(self.parts[t].open[b] - self.parts[t].bars[b] for t, b in step.targets)
        return tokens + opened + fill_start

    def _shown(self, t: int, step: Step) -> range:
        """The bars of a part in a prompt; a continuation ends before the first it writes."""
        start, end = step.window
        if step.autoregressive and t == step.active_track:
            end = min(b for _, b in step.targets)
        return range(start, end)

    def _expected(self, t: int, targets: Sequence[int], step: Step) -> int:
        """How many tokens the bars that a step writes in a part will probably take."""
        part, shown = self.parts[t], self._shown(t, step)
        like = [b for b in shown if b not in targets and part.bars[b] > _BAR_FRAME]
        notes = sum(part.notes[b] for b in like)
        content = sum(part.bars[b] for b in like) - _BAR_FRAME * len(like)
        per_note = content / notes if notes else _NOTE_TOKENS[part.drum]
        empty = int(median(part.bars[b] for b in like)) if like else _BAR_TOKENS[part.drum]
        return sum(
            int(part.notes[b] * per_note) + _BAR_FRAME if part.notes[b] else empty for b in targets
        )


class _Counted(NamedTuple):
    """Tokens before a track, around its bars, and of every bar."""

    head: int
    frame: int
    bars: list[int]


class _Counter:
    """Counts the tokens that a tokenizer writes for single tracks."""

    def __init__(self, task: Task, tokenizer: Tokenizer) -> None:
        self._options = options(task)
        self._tokenizer = tokenizer
        span = tokenizer.vocabulary.span
        self._track, self._bar, self._track_end = span("Track"), span("Bar"), span("TrackEnd")
        self.end = int("TrackEnd" in tokenizer.vocabulary)

    def count(
        self, part: Part, track: Track, resolution: int, to_fill: frozenset[int] = frozenset()
    ) -> _Counted:
        """Count a whole track, of which some bars are to be filled in."""
        targets = frozenset((0, b) for b in to_fill)
        every_bar = Step((0, len(track.bars)), autoregressive=False, targets=targets)
        score = Score([shown(track, part, 0, every_bar)], resolution)
        encoded = self._tokenizer.encode(
            score, replace(self._options, multi_fill=targets), compute_attributes=False
        )
        tokens = np.array(encoded.tokens)
        (head,) = _places(tokens, self._track)
        (end,) = _places(tokens, self._track_end)
        starts = _places(tokens, self._bar)
        bars = np.diff([*starts, end]).tolist()
        return _Counted(head, starts[0] - head + self.end, bars)


def _places(tokens: NDArray[np.int64], span: slice) -> list[int]:
    """Where tokens of a type are."""
    places: list[int] = np.flatnonzero((span.start <= tokens) & (tokens < span.stop)).tolist()
    return places

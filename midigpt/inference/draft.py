"""The score while it is written: as it will be answered, and as the model reads it.

The two differ in resolution. Both are kept bar by bar, and a bar is brought from one resolution to
the other only where that makes a difference: most of a long piece stays as it is from step to step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.inference.levels import Levels
from midigpt.inference.plan import Cell
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midigpt.attributes import AttributeAnalyzer
    from midigpt.attributes.analyzer import TrackLevels
    from midigpt.inference.language import Language
    from midigpt.inference.plan import Step
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.task import Part, Task


@dataclass(frozen=True)
class Take:
    """What a step makes of its window: the bars that the model wrote, and those that it read.

    Attributes:
        window: the bars of the step.
        bars: these cells at the resolution of the answer.
        read: the same as later steps will read them.
        settled: those of them that stay as they are however often they change their resolution.
        levels: per part, the levels that the model wrote or read, by bar of the piece.
        shown: the bars whose levels it read.
    """

    window: tuple[int, int]
    bars: Mapping[Cell, Bar]
    read: Mapping[Cell, Bar]
    settled: Collection[Cell]
    levels: Sequence[Levels]
    shown: range


class Draft:
    """The tracks that take part, from before the first step to after the last.

    Args:
        task: what the request asks for.
        score: the score of the request; it is not modified.
        language: what the checkpoint's encoder defines.
    """

    def __init__(self, task: Task, score: Score, language: Language) -> None:
        self._parts = task.parts
        self._tokenizer = language.tokenizer
        self._analyzer = language.analyzer
        self._score = score
        self._sent = [score.tracks[part.id] for part in task.parts]
        self._asked = [_asked(part, language.analyzer) for part in task.parts]
        # two views of every bar, and the cells where the way from one to the other and back may
        # still change something
        self._resolution = score.resolution
        self._bars = [list(track.bars) for track in self._sent]
        grid = self._tokenizer.to_grid(Score(self._sent, score.resolution))
        self._grid = [list(track.bars) for track in grid.tracks]
        self._unsettled = {(t, b) for t, bars in enumerate(self._bars) for b in range(len(bars))}
        self._levels = [Levels.stored(track.attributes) for track in self._sent]
        self._measured: Sequence[TrackLevels] = ()
        self._told: tuple[Sequence[TrackLevels], range] = (), range(0)

    def window(self, window: tuple[int, int]) -> Score:
        """Some bars as the model reads them, with the levels of this moment.

        A track written from its first bar on keeps what the model itself wrote; all others get
        measured levels, and the request's own over those.
        """
        self._measured = self._measured or self._measure()
        start, end = window
        tracks = []
        for t, sent in enumerate(self._sent):
            levels = Levels(
                self._track_levels(t),
                {b: self._bar_levels(t, b, self._measured) for b in range(start, end)},
            )
            bars = self._grid[t][start:end]
            tracks.append(Track(bars, sent.instrument, sent.track_type, levels.as_stored(start)))
        return Score(tracks, self._tokenizer.config.resolution)

    def read(self, cells: Iterable[Cell]) -> dict[Cell, Bar]:
        """Some cells as the model reads them."""
        return {(t, b): self._grid[t][b] for t, b in cells}

    def take(self, step: Step, prompt: Prompt, sampled: Sequence[int]) -> Take:
        """What a step would make of its window; nothing changes yet.

        Bars come back as the model wrote or read them: the next step is prompted with exactly this.
        A continuation's own history and what the model was not shown are left as they are. Bars
        that were not reached come back empty.

        Args:
            step: the step that was sampled.
            prompt: its prompt.
            sampled: the tokens after the prompt.
        """
        start, end = step.window
        active = step.active_track if step.autoregressive else None
        told = self._tokenizer.decode([*prompt.tokens, *sampled], resample=False)
        by_part = dict(zip(prompt.order, told.tracks, strict=True))
        tracks = [by_part[t] for t in range(len(self._parts))]
        cells = {
            (t, b): track.bars[b - start] if b - start < len(track.bars) else self._empty(t, b)
            for t, track in enumerate(tracks)
            for b in range(start, end)
            if (t, b) in step.targets or (t != active and b >= prompt.forgotten)
        }
        bars = self._from_grid(cells)
        read = self._to_grid(bars)
        return Take(
            step.window,
            bars,
            read,
            settled={cell for cell in cells if read[cell] == cells[cell]},
            levels=[Levels.stored(track.attributes, start) for track in tracks],
            shown=range(max(start, prompt.forgotten), end),
        )

    def accept(self, take: Take) -> None:
        """Go on with what a step makes of its window."""
        self._put(take.bars, take.read, take.settled)
        self._settle(take)
        for t, levels in enumerate(take.levels):
            bars = self._levels[t].bars
            bars.update({b: levels.bars.get(b, {}) for b in take.shown})
            self._levels[t] = Levels(self._track_levels(t) | levels.track, bars)
        self._told = self._measured, take.shown
        self._measured = ()

    def answer(self, written: Collection[Cell]) -> Score:
        """The finished score: the written bars, and everything else exactly as it was sent.

        It shares nothing with the score that was sent.

        Args:
            written: the cells that were written.
        """
        answer = self._score.resample(self._tokenizer.config.decode_resolution)
        if answer is self._score:
            answer = answer.copy()
        for t, part in enumerate(self._parts):
            track = answer.tracks[part.id]
            track.bars = [
                self._bars[t][b] if (t, b) in written else bar for b, bar in enumerate(track.bars)
            ]
            track.attributes = self._finished(t).as_stored()
        return answer

    def _measure(self) -> Sequence[TrackLevels]:
        """The levels of all tracks as they are; none if nobody asks for them."""
        if all(part.full for part in self._parts):
            return ()
        tracks = [
            Track(bars, sent.instrument, sent.track_type)
            for bars, sent in zip(self._bars, self._sent, strict=True)
        ]
        return self._analyzer.compute_score(Score(tracks, self._resolution))

    def _track_levels(self, t: int) -> dict[str, int]:
        stored = self._levels[t].track
        if self._parts[t].full:
            return stored
        return stored | self._measured[t].track | self._asked[t].track

    def _bar_levels(self, t: int, b: int, measured: Sequence[TrackLevels]) -> dict[str, int]:
        stored = self._levels[t].bars.get(b, {})
        if self._parts[t].full:
            return stored
        return stored | measured[t].bars[b] | self._asked[t].bars.get(b, {})

    def _finished(self, t: int) -> Levels:
        """The levels of a track: what the model wrote or read last, and was told before it."""
        stored, (measured, shown) = self._levels[t], self._told
        if not measured:
            return stored
        others = [b for b in range(len(self._bars[t])) if b not in shown]
        told = {b: self._bar_levels(t, b, measured) for b in others}
        return Levels(stored.track, stored.bars | told)

    def _settle(self, take: Take) -> None:
        """Bring the bars outside a step's window to the resolution of the answer and back."""
        resolution = self._tokenizer.config.decode_resolution
        start, end = take.window
        # what the step left alone in its window changes only if it has another resolution
        kept = range(start, end) if self._resolution == resolution else range(0)
        rest = self.read(
            (t, b) for t, b in self._unsettled if b not in kept and (t, b) not in take.bars
        )
        bars = self._from_grid(rest)
        read = self._to_grid(bars)
        self._put(bars, read, {cell for cell in rest if read[cell] == rest[cell]})
        self._resolution = resolution

    def _put(
        self, bars: Mapping[Cell, Bar], read: Mapping[Cell, Bar], settled: Collection[Cell]
    ) -> None:
        for (t, b), bar in bars.items():
            self._bars[t][b] = bar
            self._grid[t][b] = read[t, b]
        self._unsettled.update(bars)
        self._unsettled.difference_update(settled)

    def _from_grid(self, bars: Mapping[Cell, Bar]) -> dict[Cell, Bar]:
        score = Score([Track([*bars.values()])], self._tokenizer.config.resolution)
        return dict(zip(bars, self._tokenizer.from_grid(score).tracks[0].bars, strict=True))

    def _to_grid(self, bars: Mapping[Cell, Bar]) -> dict[Cell, Bar]:
        score = Score([Track([*bars.values()])], self._tokenizer.config.decode_resolution)
        return dict(zip(bars, self._tokenizer.to_grid(score).tracks[0].bars, strict=True))

    def _empty(self, t: int, b: int) -> Bar:
        bar = self._grid[t][b]
        return Bar([], bar.ts_numerator, bar.ts_denominator, bar.beat_length)


def _asked(part: Part, analyzer: AttributeAnalyzer) -> Levels:
    """The levels that the request asks for."""
    bars = {
        bar: {analyzer[name].token_type: level for name, level in levels.items()}
        for bar, levels in part.bar_attributes.items()
    }
    return Levels(dict(part.attributes), bars)

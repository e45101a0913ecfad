"""What was sampled, put back into the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midigpt.inference.prompt import shift_bars, split_bar_key
from midigpt.score import Bar, Score, Track

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from midigpt.inference.plan import Step
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.task import Task
    from midigpt.tokens import Tokenizer


def merge(
    step: Step,
    *,
    prompt: Prompt,
    sampled: Sequence[int],
    working: Score,
    grid: Score,
    tokenizer: Tokenizer,
) -> Score:
    """The working score after a step, at the tokenizer's decode resolution.

    Bars of the window come back as the model read or wrote them, all others as they stood on the
    token grid: the next step is prompted with exactly this. A continuation's own history is kept as
    it was. Bars that were not reached come back empty.

    Args:
        step: the step that was sampled.
        prompt: its prompt.
        sampled: the tokens after the prompt.
        working: the score before the step.
        grid: the same with levels, at the tokenizer's resolution.
        tokenizer: the tokenizer of the checkpoint.
    """
    decoded = tokenizer.decode([*prompt.tokens, *sampled], resample=False)
    merged = tokenizer.from_grid(
        Score(
            [
                _splice(track, decoded.tracks[prompt.order.index(t)], step)
                for t, track in enumerate(grid.tracks)
            ],
            grid.resolution,
            working.tempo,
        )
    )
    same = working.resolution == merged.resolution
    before = working if same else tokenizer.from_grid(grid)
    active = step.active_track if step.autoregressive else None
    for t, track in enumerate(merged.tracks):
        for bar in range(*step.window):
            unseen = bar < prompt.forgotten or t == active
            if unseen and (t, bar) not in step.targets:
                track.bars[bar] = before.tracks[t].bars[bar]
    return merged


def restore(
    original: Score,
    result: Score,
    task: Task,
    *,
    written: Collection[tuple[int, int]],
    resolution: int,
) -> Score:
    """The finished score: the written bars of ``result``, everything else exactly as it was sent.

    It shares nothing with the score that was sent.

    Args:
        original: the score of the request.
        result: the working score, with one track for each part of the task.
        task: what the request asked for.
        written: the (track, bar) cells that were written, tracks counted as in the task; they are
            at ``resolution`` already.
        resolution: ticks per quarter note of the answer.
    """
    answer = original.resample(resolution)
    if answer is original:
        answer = original.copy()
    tracks = list(answer.tracks)
    for t, part in enumerate(task.parts):
        sent = tracks[part.id]
        bars = [
            result.tracks[t].bars[b] if (t, b) in written else bar
            for b, bar in enumerate(sent.bars)
        ]
        attributes = result.tracks[t].attributes
        tracks[part.id] = Track(bars, sent.instrument, sent.track_type, attributes)
    return Score(tracks, answer.resolution, original.tempo)


def _splice(track: Track, window: Track, step: Step) -> Track:
    """The track with its window replaced by what was decoded, padded where that is short."""
    start, end = step.window
    missing = track.bars[start + len(window.bars) : end]
    padding = [Bar([], bar.ts_numerator, bar.ts_denominator, bar.beat_length) for bar in missing]
    bars = [*track.bars[:start], *window.bars, *padding, *track.bars[end:]]
    outside = {
        key: level
        for key, level in track.attributes.items()
        if (place := split_bar_key(key)) is None or not start <= place[1] < end
    }
    attributes = outside | shift_bars(window.attributes, start)
    return Track(bars, track.instrument, track.track_type, attributes)

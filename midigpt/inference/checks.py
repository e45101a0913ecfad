"""Whether an attempt is worth keeping."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from midigpt.score import Score, Track

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midigpt.inference.request import InferenceConfig
    from midigpt.tokens import Tokenizer

Cell = tuple[int, int]


def rejections(
    before: Score,
    after: Score,
    targets: Iterable[Cell],
    config: InferenceConfig,
    tokenizer: Tokenizer,
) -> list[str]:
    """Names of the enabled checks that the attempt fails.

    Args:
        before: the working score before the step.
        after: the same after the attempt.
        targets: the (track, bar) cells of the step.
        config: says which checks are on.
        tokenizer: brings both scores to one grid.
    """
    cells = sorted(targets)
    old = _onsets(before, cells, tokenizer)
    new = _onsets(after, cells, tokenizer)
    failed = []
    if config.silence_check and not new.total():
        failed.append("silence_check")
    if config.novelty_check and _too_close(old, new, config.novelty_threshold):
        failed.append("novelty_check")
    return failed


def _onsets(
    score: Score, cells: list[Cell], tokenizer: Tokenizer
) -> Counter[tuple[Cell, int, int]]:
    """How often each (cell, pitch, onset) occurs, onsets on the token grid."""
    bars = [score.tracks[track].bars[bar] for track, bar in cells]
    grid = tokenizer.to_grid(Score([Track([bar]) for bar in bars], score.resolution))
    return Counter(
        (cell, note.pitch, note.onset_ticks)
        for cell, track in zip(cells, grid.tracks, strict=True)
        for note in track.bars[0].notes
    )


def _too_close(
    old: Counter[tuple[Cell, int, int]], new: Counter[tuple[Cell, int, int]], threshold: float
) -> bool:
    """Compare as multisets; below a threshold of 1 notes count alike in any track."""
    if threshold >= 1:
        return old == new
    old_notes, new_notes = _without_track(old), _without_track(new)
    union = (old_notes | new_notes).total()
    shared = (old_notes & new_notes).total()
    return (shared / union if union else 1.0) >= threshold


def _without_track(onsets: Counter[tuple[Cell, int, int]]) -> Counter[tuple[int, int, int]]:
    merged: Counter[tuple[int, int, int]] = Counter()
    for ((_, bar), pitch, onset), count in onsets.items():
        merged[bar, pitch, onset] += count
    return merged

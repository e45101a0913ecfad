"""Whether an attempt is worth keeping."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midigpt.inference.plan import Cell
    from midigpt.inference.request import InferenceConfig
    from midigpt.score import Bar

logger = logging.getLogger("midigpt")


def rejections(
    before: Mapping[Cell, Bar], after: Mapping[Cell, Bar], config: InferenceConfig
) -> list[str]:
    """Names of the checks that an attempt fails; of those that are switched off the log is told.

    Args:
        before: the cells of the step, on the token grid.
        after: the same after the attempt.
        config: says which checks are on.
    """
    old, new = _onsets(before), _onsets(after)
    close = _too_close(old, new, config.novelty_threshold)
    verdicts = (
        ("silence_check", config.silence_check, not new.total()),
        ("novelty_check", config.novelty_check, close),
    )
    for name, enabled, failed in verdicts:
        if failed and not enabled:
            logger.warning("an attempt fails the %s, which is switched off", name)
    return [name for name, enabled, failed in verdicts if enabled and failed]


def _onsets(bars: Mapping[Cell, Bar]) -> Counter[tuple[Cell, int, int]]:
    """How often each (cell, pitch, onset) occurs."""
    return Counter(
        (cell, note.pitch, note.onset_ticks) for cell, bar in bars.items() for note in bar.notes
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

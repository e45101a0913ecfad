"""Pictures of scores (piano rolls) and of measurements."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from midigpt.score import Score, Track

mpl.use("Agg")

SHADE = "#f7e3b5"
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#7f7f7f")
DPI = 64


def rolls(
    path: Path, score: Score, written: Collection[tuple[int, int]] = (), title: str = ""
) -> None:
    """A piano roll for each track, below each other, the written bars shaded.

    Args:
        path: the file to write.
        score: the score.
        written: (track, bar) cells to shade.
        title: put above the first track.
    """
    count = len(score.tracks)
    figure, axes = plt.subplots(
        count, 1, sharex=True, squeeze=False, figsize=(9, 0.5 + 1.25 * count), layout="constrained"
    )
    for t, (track, (own,)) in enumerate(zip(score.tracks, axes, strict=True)):
        _roll(own, track, score.resolution, [b for of, b in written if of == t], t)
    axes[0][0].set_title(title, fontsize=9)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _roll(axes: Axes, track: Track, resolution: int, shaded: Collection[int], number: int) -> None:
    starts = [0.0, *accumulate(bar.beat_length for bar in track.bars)]
    colour = COLOURS[number % len(COLOURS)]
    for b, bar in enumerate(track.bars):
        if b in shaded:
            axes.axvspan(starts[b], starts[b + 1], color=SHADE, zorder=0)
        axes.axvline(starts[b], color="#999999", linewidth=0.5, zorder=1)
        for note in bar.notes:
            left = starts[b] + note.onset_ticks / resolution
            length = 0.2 if track.is_drum else note.duration_ticks / resolution
            strength = 0.35 + 0.65 * note.velocity / 127
            axes.broken_barh(
                [(left, length * 0.94)], (note.pitch - 0.45, 0.9), color=colour, alpha=strength
            )
    axes.set_xlim(0, starts[-1])
    axes.set_ylabel("drums" if track.is_drum else f"program {track.instrument}", fontsize=7)
    axes.tick_params(labelsize=6)
    axes.margins(y=0.08)


def control(path: Path, measured: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Requested against measured levels, one field for each attribute.

    Args:
        path: the file to write.
        measured: pairs (requested, measured), by attribute.
    """
    figure, axes = plt.subplots(
        1, len(measured), squeeze=False, figsize=(2.6 * len(measured), 2.8), layout="constrained"
    )
    for own, (name, pairs) in zip(axes[0], measured.items(), strict=True):
        size = 1 + max(max(pair) for pair in pairs)
        table = [[0.0] * size for _ in range(size)]
        for requested, found in pairs:
            table[found][requested] += 1
        for column in range(size):
            total = sum(row[column] for row in table) or 1.0
            for row in table:
                row[column] /= total
        own.imshow(table, origin="lower", cmap="Blues", vmin=0, vmax=1)
        own.set_title(name, fontsize=8)
        own.set_xlabel("requested", fontsize=7)
        own.set_ylabel("measured", fontsize=7)
        own.tick_params(labelsize=6)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def curve(path: Path, steps: Sequence[int], lines: Mapping[str, Sequence[float]]) -> None:
    """Losses over the steps of a training."""
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    for name, values in lines.items():
        axes.plot(steps, values, label=name, linewidth=1)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("nats per token", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)

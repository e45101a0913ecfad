"""The steps of a task: at each window, for what is still to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.inference.plan import plan, shuffled
from midigpt.inference.rules import LEAST_BAR, LEAST_HEADER

if TYPE_CHECKING:
    from collections.abc import Collection

    from midigpt.inference.plan import Cell, Step
    from midigpt.inference.task import Task
    from midigpt.tokens import Tokenizer


@dataclass(frozen=True)
class Splits:
    """Step sizes where the request left them to the engine; 0 is the planner's own choice."""

    bars_per_step: int = 0
    tracks_per_step: int = 0


def window_sizes(task: Task, tokenizer: Tokenizer) -> list[int]:
    """The windows a run tries, largest first."""
    options = tokenizer.config.num_bars_map
    return (
        sorted((n for n in options if n <= task.window), reverse=True) if options else [task.window]
    )


def window_steps(
    task: Task, window: int, splits: Splits, done: Collection[Cell], bars: int
) -> list[Step]:
    """The steps for what is left to write, in the order they are taken."""
    config = task.config
    steps = plan(
        [
            [b in part.bars and (t, b) not in done for b in range(bars)]
            for t, part in enumerate(task.parts)
        ],
        [part.autoregressive for part in task.parts],
        window=window,
        bars_per_step=task.bars_per_step or splits.bars_per_step,
        tracks_per_step=task.tracks_per_step or splits.tracks_per_step,
        ar_overlap=config.ar_overlap,
        min_overlap=config.min_overlap_bars,
    )
    return shuffled(steps, task.seed) if config.shuffle else steps


def room_for(step: Step, bars: int) -> int:
    """Tokens in which so many bars of a step can surely be written."""
    opens_track = step.autoregressive and min(step.targets)[1] == step.window[0]
    return LEAST_BAR * bars + (LEAST_HEADER if opens_track else 0)

"""What the model is shown in one step.

The story of a prompt: the window is cut out of the score as it stands, with levels measured on the
whole tracks; bars to be written are emptied, bars to be hidden marked, and the tokenizer writes it
down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from midigpt.inference.levels import Levels
from midigpt.score import Bar, Score, Track
from midigpt.tokens import EncodeOptions

if TYPE_CHECKING:
    from midigpt.inference.plan import Step
    from midigpt.inference.task import Part, Task
    from midigpt.tokens import Tokenizer


@dataclass(frozen=True)
class Block:
    """A bar to be filled in.

    Attributes:
        track: index of the part.
        bar: index of the bar.
        drum: whether it is a bar of drums.
        limit: its length in grid positions, rounded up.
    """

    track: int
    bar: int
    drum: bool
    limit: int


@dataclass(frozen=True)
class Prompt:
    """The tokens a step starts from.

    Attributes:
        tokens: the prompt.
        hidden: half-open ranges of ``tokens`` that nothing may attend to.
        order: the parts in the order of the prompt; a continuation's own comes last.
        blocks: the bars to be filled in, in the order the model writes them; none for a
            continuation.
        forgotten: bars before this one are shown empty, though they are not.
    """

    tokens: tuple[int, ...]
    hidden: tuple[tuple[int, int], ...]
    order: tuple[int, ...]
    blocks: tuple[Block, ...]
    forgotten: int = 0


def build(
    task: Task, step: Step, window: Score, tokenizer: Tokenizer, *, forgotten: int = 0
) -> Prompt:
    """The prompt of a step.

    Args:
        task: what the request asks for.
        step: the step.
        window: the bars of its window as the model reads them, a track for each part.
        tokenizer: the tokenizer of the checkpoint.
        forgotten: bars before this one are shown empty, for want of room.
    """
    start, _ = step.window
    order = prompt_order(len(task.parts), step)
    tracks = [shown(window.tracks[t], task.parts[t], t, step, forgotten) for t in order]
    score = Score(tracks, window.resolution)
    tokens, hidden = tokenizer.encode(score, _which(task, step, order), compute_attributes=False)
    if step.autoregressive:
        return Prompt(tuple(tokens), tuple(hidden), order, (), forgotten)
    first_fill = tokens.index(tokenizer.vocabulary.encode("FillInStart", 0))
    blocks = tuple(
        Block(t, b, task.parts[t].drum, _positions(window.tracks[t].bars[b - start], window))
        for t, b in sorted(step.targets)
    )
    return Prompt(tuple(tokens[: first_fill + 1]), tuple(hidden), order, blocks, forgotten)


def prompt_order(count: int, step: Step) -> tuple[int, ...]:
    """The parts in score order, the one being continued last."""
    if not step.autoregressive:
        return tuple(range(count))
    active = step.active_track
    return (*(t for t in range(count) if t != active), active)


def options(task: Task) -> EncodeOptions:
    """What all prompts of a task have in common."""
    return EncodeOptions(
        window_bars=task.window,
        use_span_masks=task.config.mask_mode.startswith("attention"),
        remove_future_bars=task.config.mask_mode == "remove",
        use_velocity=int(task.velocity),
        use_microtiming=int(task.microtiming),
        genre=task.genre,
    )


def shown(track: Track, part: Part, index: int, step: Step, forgotten: int = 0) -> Track:
    """The part of that index as a step shows it: what is to be written is empty.

    Args:
        track: the bars of the step's window.
        part: what is asked of it.
        index: its index.
        step: the step.
        forgotten: bars before this one are empty and have no levels.
    """
    start, _ = step.window
    bars = [
        Bar(
            [] if (index, b) in step.targets or b < forgotten else bar.notes,
            bar.ts_numerator,
            bar.ts_denominator,
            bar.beat_length,
            future=b in part.hidden,
        )
        for b, bar in enumerate(track.bars, start)
    ]
    attributes = track.attributes
    if forgotten > start:
        told = range(forgotten - start, len(bars))
        attributes = Levels.stored(attributes).of_bars(told).as_stored()
    return Track(bars, track.instrument, track.track_type, attributes)


def _which(task: Task, step: Step, order: tuple[int, ...]) -> EncodeOptions:
    """Which bars a step leaves open, and how the others are told."""
    start, end = step.window
    common = replace(options(task), window_bars=end - start)
    if not step.autoregressive:
        return replace(common, multi_fill=frozenset((t, b - start) for t, b in step.targets))
    return replace(
        common,
        partial_encode_track_index=len(order) - 1,
        partial_encode_track_bars=min(b for _, b in step.targets) - start,
    )


def _positions(bar: Bar, score: Score) -> int:
    return -(-4 * bar.ts_numerator * score.resolution // bar.ts_denominator)

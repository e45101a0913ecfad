"""What the model is shown in one step.

The story of a prompt: levels are measured on the whole tracks and the request's own put over them,
everything is brought to the token grid, the window is cut out, and the tokenizer writes it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midigpt.score import Bar, Score, Track
from midigpt.tokens import EncodeOptions
from midigpt.tokens.types import BAR_LEVELS, TRACK_LEVELS, bar_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midigpt.attributes import AttributeAnalyzer
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


def with_levels(task: Task, score: Score, analyzer: AttributeAnalyzer) -> Score:
    """The score with the attribute levels of this moment on its tracks.

    A track written from its first bar on keeps what the model itself wrote; all others get measured
    levels, and the request's own over those.
    """
    measured = analyzer.compute_score(score)
    tracks = []
    for part, track, levels in zip(task.parts, score.tracks, measured, strict=True):
        attributes = dict(track.attributes)
        if not part.full:
            attributes |= levels.track
            for bar, by_type in enumerate(levels.bars):
                attributes |= {bar_key(type_, bar): level for type_, level in by_type.items()}
            attributes |= _asked(part, analyzer)
        tracks.append(Track(track.bars, track.instrument, track.track_type, attributes))
    return Score(tracks, score.resolution, score.tempo)


def build(
    task: Task, step: Step, grid: Score, tokenizer: Tokenizer, *, forgotten: int = 0
) -> Prompt:
    """The prompt of a step.

    Args:
        task: what the request asks for.
        step: the step.
        grid: the working score with levels, at the tokenizer's resolution.
        tokenizer: the tokenizer of the checkpoint.
        forgotten: bars before this one are shown empty, for want of room.
    """
    order = prompt_order(len(task.parts), step)
    window = Score(
        [_window_track(grid.tracks[t], task.parts[t], step, t, forgotten) for t in order],
        grid.resolution,
    )
    encoded = tokenizer.encode(window, _options(task, step, order), compute_attributes=False)
    tokens = encoded.tokens
    if step.autoregressive:
        return Prompt(tuple(tokens), tuple(encoded.hidden_spans), order, (), forgotten)
    first_fill = tokens.index(tokenizer.vocabulary.encode("FillInStart", 0))
    blocks = tuple(
        Block(t, bar, task.parts[t].drum, _positions(grid.tracks[t].bars[bar], grid.resolution))
        for t, bar in sorted(step.targets)
    )
    return Prompt(
        tuple(tokens[: first_fill + 1]), tuple(encoded.hidden_spans), order, blocks, forgotten
    )


def prompt_order(count: int, step: Step) -> tuple[int, ...]:
    """The parts in score order, the one being continued last."""
    if not step.autoregressive:
        return tuple(range(count))
    active = step.active_track
    return (*(t for t in range(count) if t != active), active)


def split_bar_key(key: str) -> tuple[str, int] | None:
    """The token type and bar of such a key; None for a track's own level."""
    prefix, _, index = key.rpartition("_")
    if not (prefix.startswith("bar_") and index.isdigit()):
        return None
    return prefix.removeprefix("bar_"), int(index)


def shift_bars(attributes: Mapping[str, int], offset: int) -> dict[str, int]:
    """The same levels with every bar index moved by ``offset``."""
    moved = {}
    for key, level in attributes.items():
        place = split_bar_key(key)
        moved[key if place is None else bar_key(place[0], place[1] + offset)] = level
    return moved


def _asked(part: Part, analyzer: AttributeAnalyzer) -> dict[str, int]:
    return {
        **part.attributes,
        **{
            bar_key(analyzer[name].token_type, bar): level
            for bar, levels in part.bar_attributes.items()
            for name, level in levels.items()
        },
    }


def _window_track(track: Track, part: Part, step: Step, index: int, forgotten: int) -> Track:
    start, end = step.window
    bars = [
        Bar(
            [] if (index, b) in step.targets or b < forgotten else bar.notes,
            bar.ts_numerator,
            bar.ts_denominator,
            bar.beat_length,
            future=b in part.hidden,
        )
        for b, bar in enumerate(track.bars[start:end], start)
    ]
    attributes = {name: track.attributes[name] for name in TRACK_LEVELS if name in track.attributes}
    for b in range(max(start, forgotten), end):
        for name in BAR_LEVELS:
            level = track.attributes.get(bar_key(name, b))
            if level is not None:
                attributes[bar_key(name, b - start)] = level
    return Track(bars, track.instrument, track.track_type, attributes)


def _options(task: Task, step: Step, order: tuple[int, ...]) -> EncodeOptions:
    start, end = step.window
    first = min(bar for _, bar in step.targets) - start
    return EncodeOptions(
        partial_encode_track_index=len(order) - 1 if step.autoregressive else -1,
        partial_encode_track_bars=first if step.autoregressive else -1,
        multi_fill=frozenset()
        if step.autoregressive
        else frozenset((t, bar - start) for t, bar in step.targets),
        window_bars=end - start,
        use_span_masks=task.config.mask_mode.startswith("attention"),
        remove_future_bars=task.config.mask_mode == "remove",
        use_velocity=int(task.velocity),
        use_microtiming=int(task.microtiming),
        genre=task.genre,
    )


def _positions(bar: Bar, resolution: int) -> int:
    return -(-4 * bar.ts_numerator * resolution // bar.ts_denominator)

"""Making a request fit the context of the model: smaller steps, fewer context tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from midigpt.errors import RequestValidationError
from midigpt.inference.plan import Step
from midigpt.inference.prompt import Prompt, build, with_levels
from midigpt.inference.roles import relevance
from midigpt.inference.steps import Splits, room_for, window_sizes, window_steps
from midigpt.inference.task import Task
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midigpt.inference.language import Language
    from midigpt.model.decoder import Decoder

_ROUNDS = 16
_BAR_FRAME = 4
"""Tokens of a bar that are not notes."""

_NOTE_TOKENS = {True: 2.5, False: 3.5}
_BAR_TOKENS = {True: 60, False: 40}
"""What a note and a bar take where there is nothing to go by, for drums and for others."""


@dataclass(frozen=True)
class Fitted:
    """A task that fits as well as it can.

    Attributes:
        task: without the tracks that were dropped.
        splits: step sizes for what the request left to the engine.
        dropped: ids of the dropped tracks.
        tight: whether some step still leaves no room for a bar at the request's own window.
    """

    task: Task
    splits: Splits
    dropped: list[int]
    tight: bool


@dataclass(frozen=True)
class Measured:
    """What a step takes of the context.

    Attributes:
        step: the step.
        length: tokens of its prompt.
        tokens: prompt tokens of each part.
        need: tokens of the prompt and, with the margin, of what will be written.
    """

    step: Step
    length: int
    tokens: dict[int, int]
    need: float

    def need_without(self, parts: Iterable[int]) -> float:
        """The need if these parts were dropped."""
        return self.need - sum(self.tokens.get(part, 0) for part in parts)


def fit(task: Task, score: Score, language: Language, decoder: Decoder) -> Fitted:
    """Split steps and drop context tracks until every planned step fits, as far as that goes."""
    splits = Splits()
    for _ in range(_ROUNDS):
        measured = measure(task, score, splits, language)
        room = decoder.context
        drops: list[int] = []
        if all(m.need < room for m in measured):
            break
        if task.config.context != "all":
            drops = _drop(measured, _drop_order(task, score, measured, language, decoder), room)
            if all(m.need_without(drops) < room for m in measured):
                break
        smaller = _split(task, splits, [m.step for m in measured])
        if smaller is None:
            break
        splits, drops = smaller, []
    kept = task.without(drops, score, language.tokenizer) if drops else task
    tight = any(_leaves_no_room(m, decoder.context, drops) for m in measured)
    return Fitted(kept, splits, sorted(task.parts[part].id for part in drops), tight)


def refuse_what_never_fits(fitted: Fitted, score: Score, language: Language, context: int) -> None:
    """Refuse a task of which some step leaves no room for a bar, even at the smallest window.

    Raises:
        RequestValidationError: it is such a task.
    """
    if not fitted.tight:
        return
    smallest = window_sizes(fitted.task, language.tokenizer)[-1]
    task = replace(fitted.task, window=smallest)
    for measured in measure(task, score, fitted.splits, language):
        if _leaves_no_room(measured, context):
            raise RequestValidationError(_too_long(task, measured, context))


def _leaves_no_room(measured: Measured, room: int, dropped: Iterable[int] = ()) -> bool:
    """Whether not even one bar can be written."""
    prompt = measured.length - sum(measured.tokens[part] for part in dropped)
    return prompt + room_for(measured.step, 1) >= room


def _too_long(task: Task, measured: Measured, room: int) -> str:
    start, end = measured.step.window
    longest = max(measured.tokens, key=lambda part: measured.tokens[part])
    return (
        f"score: bars {start} to {end - 1} take {measured.length} of the model's "
        f"{room} tokens, which leaves no room to write (most of them, "
        f"{measured.tokens[longest]}, are track_id={task.parts[longest].id}); ignore tracks, or "
        "let them be dropped with context"
    )


def measure(task: Task, score: Score, splits: Splits, language: Language) -> list[Measured]:
    """Every planned step with what it takes of the context."""
    grid = _levelled(task, score, language)
    bars = len(grid.tracks[0].bars)
    steps = window_steps(task, task.window, splits, frozenset(), bars)
    return [_measure(task, step, grid, language) for step in steps]


def _levelled(task: Task, score: Score, language: Language) -> Score:
    """The score as the first step finds it, on the token grid."""
    tracks = [score.tracks[part.id] for part in task.parts]
    working = Score(tracks, score.resolution, score.tempo)
    return language.tokenizer.to_grid(with_levels(task, working, language.analyzer))


def _measure(task: Task, step: Step, grid: Score, language: Language) -> Measured:
    prompt = build(task, step, grid, language.tokenizer)
    tracks, bars = _count(prompt, step, language)
    expected = sum(_expected(grid, step, t, bar, bars[t]) for t, bar in step.targets)
    need = len(prompt.tokens) + task.config.budget_margin * expected
    return Measured(step, len(prompt.tokens), tracks, need)


def _count(
    prompt: Prompt, step: Step, language: Language
) -> tuple[dict[int, int], dict[int, dict[int, int]]]:
    """Prompt tokens of each part, and of each of its bars from ``Bar`` to ``BarEnd``."""
    vocabulary = language.tokenizer.vocabulary
    tracks = dict.fromkeys(prompt.order, 0)
    bars: dict[int, dict[int, int]] = {part: {} for part in prompt.order}
    parts = iter(prompt.order)
    part, bar = -1, step.window[0] - 1
    for token in prompt.tokens:
        type_ = vocabulary.types[token]
        if type_ == "Track":
            part, bar = next(parts), step.window[0] - 1
        if part < 0:
            continue
        tracks[part] += 1
        if type_ == "Bar":
            bar += 1
            bars[part][bar] = 0
        if type_ == "TrackEnd":
            part = -1
        elif bar in bars[part]:
            bars[part][bar] += 1
    return tracks, bars


def _expected(grid: Score, step: Step, part: int, bar: int, bars: dict[int, int]) -> int:
    """How many tokens the bar will probably take."""
    track = grid.tracks[part]
    like = {
        b: count
        for b, count in bars.items()
        if (part, b) not in step.targets and count > _BAR_FRAME
    }
    notes = sum(len(track.bars[b].notes) for b in like)
    content = sum(like.values()) - _BAR_FRAME * len(like)
    per_note = content / notes if notes else _NOTE_TOKENS[track.is_drum]
    if track.bars[bar].notes:
        return int(len(track.bars[bar].notes) * per_note) + _BAR_FRAME
    return int(median(like.values())) if like else _BAR_TOKENS[track.is_drum]


def _drop(measured: Sequence[Measured], order: Iterable[int], room: int) -> list[int]:
    """As many parts of the order as it takes for every step to fit, or all of them."""
    drops: list[int] = []
    for part in order:
        if all(m.need_without(drops) < room for m in measured):
            break
        drops.append(part)
    return drops


def _drop_order(
    task: Task,
    score: Score,
    measured: Sequence[Measured],
    language: Language,
    decoder: Decoder,
) -> list[int]:
    """The parts that may be dropped, those that matter least first."""
    config = task.config
    needed = {part for m in measured for part, _ in m.step.targets}
    kept = set(config.context_keep)
    index = {part.id: t for t, part in enumerate(task.parts)}
    free = [t for t, part in enumerate(task.parts) if t not in needed and part.id not in kept]
    first = [index[i] for i in dict.fromkeys(config.context_drop) if index.get(i) in free]
    if config.context == "listed":
        return first
    tightest = max(measured, key=lambda m: m.need)
    worth = (
        _attention(task, score, tightest, language, decoder)
        if tightest.length < decoder.context
        else _relevance(task, score, tightest)
    )
    rest = [t for t in free if t not in first]
    return first + sorted(rest, key=lambda t: (worth[t], t))


def _attention(
    task: Task, score: Score, measured: Measured, language: Language, decoder: Decoder
) -> dict[int, float]:
    """How much the end of the prompt looks at each part, per token."""
    grid = _levelled(task, score, language)
    prompt = build(task, measured.step, grid, language.tokenizer)
    attention = decoder.attention(prompt.tokens, prompt.hidden).tolist()
    worth = {}
    start = len(prompt.tokens) - sum(measured.tokens.values()) - bool(prompt.blocks)
    for part in prompt.order:
        count = measured.tokens[part]
        worth[part] = sum(attention[start : start + count]) / max(1, count)
        start += count
    return worth


def _relevance(task: Task, score: Score, measured: Measured) -> dict[int, float]:
    """How much each part matters to the ones being written, per token, judged by its role."""
    tracks = [score.tracks[part.id] for part in task.parts]
    targets = sorted({part for part, _ in measured.step.targets})
    return {
        part: max(relevance(track, tracks[target], score.resolution) for target in targets)
        / max(1, measured.tokens[part])
        for part, track in enumerate(tracks)
    }


def _split(task: Task, splits: Splits, steps: Sequence[Step]) -> Splits | None:
    """Smaller steps where the request leaves their size open; None where it does not."""
    if task.tracks_per_step == 0:
        widest = max(
            (len({t for t, _ in step.targets}) for step in steps if not step.autoregressive),
            default=0,
        )
        if widest > 1:
            return replace(splits, tracks_per_step=max(1, widest // 2))
    if task.bars_per_step == 0:
        longest = splits.bars_per_step or max(len({b for _, b in step.targets}) for step in steps)
        if longest > 1:
            return replace(splits, bars_per_step=longest // 2)
    return None

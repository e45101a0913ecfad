"""Making a request fit the context of the model: smaller steps, fewer context tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from midigpt.errors import RequestValidationError
from midigpt.inference.draft import Draft
from midigpt.inference.language import Language
from midigpt.inference.prompt import build
from midigpt.inference.roles import Character, relevance
from midigpt.inference.sizes import Sizes
from midigpt.inference.steps import Splits, room_for, window_sizes, window_steps
from midigpt.inference.task import Task
from midigpt.model.decoder import Decoder
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from midigpt.inference.plan import Step
    from midigpt.inference.sizes import Measured
    from midigpt.tokens import Tokenizer

_ROUNDS = 16


@dataclass(frozen=True)
class Fitted:
    """A task that fits as well as it can.

    Attributes:
        task: without the tracks that were dropped.
        splits: step sizes for what the request left to the engine.
        dropped: ids of the dropped tracks.
        sizes: what the parts of the task take.
        tight: whether some step still leaves no room for a bar at the request's own window.
    """

    task: Task
    splits: Splits
    dropped: list[int]
    sizes: Sizes
    tight: bool


def fit(
    task: Task,
    score: Score,
    language: Language,
    decoder: Decoder,
    check: Callable[[], None] = lambda: None,
) -> Fitted:
    """Split steps and drop context tracks until every planned step fits, as far as that goes.

    Args:
        task: what the request asks for.
        score: the score of the request.
        language: what the checkpoint's encoder defines.
        decoder: has the context to fit, and says which tracks matter.
        check: called every few milliseconds of work; what it raises ends the work.
    """
    sizes = Sizes.of(task, score, language, check)
    splits = Splits()
    for _ in range(_ROUNDS):
        loads = _Loads(measure(task, sizes, splits, check), sizes)
        if loads.fit(decoder.context):
            break
        if task.config.context != "all":
            judge = _Judge(task, score, language, decoder, sizes)
            _drop(loads, task, decoder.context, judge)
            if loads.fit(decoder.context):
                break
        smaller = _split(task, splits, [m.step for m in loads.measured])
        if smaller is None:
            break
        splits = smaller
        loads.keep_all()
    drops = loads.dropped
    return Fitted(
        task=task.without(drops, score, language.tokenizer) if drops else task,
        splits=splits,
        dropped=sorted(task.parts[part].id for part in drops),
        sizes=sizes.without(drops),
        tight=loads.leave_no_room(decoder.context),
    )


def refuse_what_never_fits(
    fitted: Fitted, tokenizer: Tokenizer, context: int, check: Callable[[], None] = lambda: None
) -> None:
    """Refuse a task of which some step leaves no room for a bar, even at the smallest window.

    Args:
        fitted: the task.
        tokenizer: the tokenizer of the checkpoint.
        context: positions of the network.
        check: called every few milliseconds of work; what it raises ends the work.

    Raises:
        RequestValidationError: it is such a task.
    """
    if not fitted.tight:
        return
    smallest = window_sizes(fitted.task, tokenizer)[-1]
    task = replace(fitted.task, window=smallest)
    for measured in measure(task, fitted.sizes, fitted.splits, check):
        if measured.length + room_for(measured.step, 1) >= context:
            raise RequestValidationError(_too_long(fitted, measured, context))


def measure(
    task: Task, sizes: Sizes, splits: Splits, check: Callable[[], None] = lambda: None
) -> list[Measured]:
    """Every planned step with what it takes of the context."""
    measured = []
    for step in window_steps(task, task.window, splits, frozenset(), len(sizes.parts[0].bars)):
        check()
        measured.append(sizes.measured(step, task.config.budget_margin))
    return measured


class _Loads:
    """What the planned steps take, less what the tracks take that are dropped so far.

    Args:
        measured: every planned step.
        sizes: what the parts take.

    Attributes:
        measured: as given.
        dropped: the parts that are dropped.
    """

    def __init__(self, measured: Sequence[Measured], sizes: Sizes) -> None:
        self.measured = measured
        self.dropped: list[int] = []
        self._sizes = sizes
        self._needs = np.array([m.need for m in measured])
        self._starts, self._ends = np.array([m.step.window for m in measured]).T
        self._saved = np.zeros(len(measured), dtype=np.int64)

    @property
    def tightest(self) -> Measured:
        """The step that needs most."""
        return max(self.measured, key=lambda m: m.need)

    def fit(self, room: int, without: Iterable[int] = ()) -> bool:
        """Whether every step fits, with what it will probably write, also without these parts."""
        saved = self._saved + sum(self._tokens(part) for part in without)
        return bool((self._needs - saved < room).all())

    def leave_no_room(self, room: int) -> bool:
        """Whether in some step not even one bar can be written."""
        least = np.array([m.length + room_for(m.step, 1) for m in self.measured])
        return bool((least - self._saved >= room).any())

    def drop(self, order: Iterable[int], room: int) -> None:
        """Drop as many parts, none of which is written, as it takes for every step to fit."""
        for part in order:
            if self.fit(room):
                return
            self.dropped.append(part)
            self._saved += self._tokens(part)

    def _tokens(self, part: int) -> NDArray[np.int64]:
        """What a part that is not written takes of every step."""
        sizes = self._sizes.parts[part]
        before = np.array(sizes.before)
        tokens: NDArray[np.int64] = sizes.frame + before[self._ends] - before[self._starts]
        return tokens

    def keep_all(self) -> None:
        """Drop nothing after all."""
        self.dropped = []
        self._saved[:] = 0


def _too_long(fitted: Fitted, measured: Measured, room: int) -> str:
    start, end = measured.step.window
    tokens = [fitted.sizes.part(t, measured.step) for t in range(len(fitted.task.parts))]
    longest = fitted.task.parts[tokens.index(max(tokens))]
    return (
        f"score: bars {start} to {end - 1} take {measured.length} of the model's "
        f"{room} tokens, which leaves no room to write (most of them, {max(tokens)}, are "
        f"track_id={longest.id}); ignore tracks, or let them be dropped with context"
    )


def _drop(loads: _Loads, task: Task, room: int, judge: _Judge) -> None:
    """Drop tracks until every step fits; all that may be dropped if that does not help."""
    config, parts = task.config, task.parts
    kept = set(config.context_keep)
    index = {part.id: t for t, part in enumerate(parts)}
    free = [t for t, part in enumerate(parts) if not part.bars and part.id not in kept]
    first = [index[i] for i in dict.fromkeys(config.context_drop) if index.get(i) in free]
    loads.drop(first, room)
    if config.context == "listed" or loads.fit(room):
        return
    rest = [t for t in free if t not in first]
    if loads.fit(room, without=rest):
        worth = judge.worth(loads.tightest)
        rest.sort(key=lambda t: (worth[t], t))
    loads.drop(rest, room)


@dataclass(frozen=True)
class _Judge:
    """Says how much tracks matter.

    Attributes:
        task: what the request asks for.
        score: the score of the request.
        language: what the checkpoint's encoder defines.
        decoder: runs its network.
        sizes: what the parts take.
    """

    task: Task
    score: Score
    language: Language
    decoder: Decoder
    sizes: Sizes

    def worth(self, measured: Measured) -> list[float]:
        """How much each part matters per token: to the network, if it can read all of the step."""
        tokens = [self.sizes.part(t, measured.step) for t in range(len(self.task.parts))]
        if measured.length < self.decoder.context:
            worth = self._attention(measured.step, tokens)
        else:
            worth = self._relevance(measured.step)
        return [each / max(1, count) for each, count in zip(worth, tokens, strict=True)]

    def _attention(self, step: Step, tokens: Sequence[int]) -> list[float]:
        """How much the end of the prompt looks at each part."""
        window = Draft(self.task, self.score, self.language).window(step.window)
        prompt = build(self.task, step, window, self.language.tokenizer)
        attention = self.decoder.attention(prompt.tokens, prompt.hidden).tolist()
        looks = [0.0] * len(tokens)
        start = len(prompt.tokens) - sum(tokens) - bool(prompt.blocks)
        for part in prompt.order:
            looks[part] = sum(attention[start : start + tokens[part]])
            start += tokens[part]
        return looks

    def _relevance(self, step: Step) -> list[float]:
        """How much each part matters to the ones being written, going by its role."""
        tracks = [self.score.tracks[part.id] for part in self.task.parts]
        characters = [Character.of(track, self.score.resolution) for track in tracks]
        targets = {characters[t] for t in step.bars}
        return [max(relevance(each, target) for target in targets) for each in characters]


def _split(task: Task, splits: Splits, steps: Sequence[Step]) -> Splits | None:
    """Smaller steps where the request leaves their size open; None where it does not."""
    if task.tracks_per_step == 0:
        widest = max((len(step.bars) for step in steps if not step.autoregressive), default=0)
        if widest > 1:
            return replace(splits, tracks_per_step=max(1, widest // 2))
    if task.bars_per_step == 0:
        longest = splits.bars_per_step or max(len({b for _, b in step.targets}) for step in steps)
        if longest > 1:
            return replace(splits, bars_per_step=longest // 2)
    return None

"""One complete generation: windows, steps and attempts, told as a coroutine of the decode loop."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from midigpt.errors import GenerationError
from midigpt.inference.checks import rejections
from midigpt.inference.events import Telling
from midigpt.inference.loop import Row, Status
from midigpt.inference.merge import merge, restore
from midigpt.inference.prompt import build, with_levels
from midigpt.inference.rulebook import Rulebook
from midigpt.inference.steps import room_for, window_sizes, window_steps
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from midigpt.inference.events import Sinks
    from midigpt.inference.language import Language
    from midigpt.inference.loop import Candidate, Counters
    from midigpt.inference.plan import Step
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.steps import Splits
    from midigpt.inference.task import Task

logger = logging.getLogger("midigpt")

_AMPLE = 20
"""Tokens per track to write with which a caller need not be warned."""

_TOGETHER = 8
"""Attempts that are sampled side by side; each holds keys and values of a whole prompt."""


@dataclass(frozen=True)
class Result:
    """What became of a candidate.

    Attributes:
        score: the finished score; of a cancelled one, as far as it got.
        truncated: whether a step ran out of tokens.
        cancelled: whether it was told to stop.
    """

    score: Score
    truncated: bool
    cancelled: bool


class Run:
    """One candidate on its way.

    Args:
        task: what the request asks for, with this candidate's seed.
        score: the score of the request.
        splits: step sizes found while fitting the context.
        language: what the checkpoint's encoder defines.
        context: positions of the network.
        counters: added to.
        cancelled: whether to stop.
        sinks: who is told what happens.
        warn: told what the caller should know about the result.

    Attributes:
        seed: the candidate's seed.
        sampled: tokens sampled in all attempts that have ended.
    """

    def __init__(
        self,
        *,
        task: Task,
        score: Score,
        splits: Splits,
        language: Language,
        context: int,
        counters: Counters,
        cancelled: Callable[[], bool],
        sinks: Sinks,
        warn: Callable[[str], None],
    ) -> None:
        self.seed = task.seed
        self._task = task
        self._original = score
        self._splits = splits
        self._language = language
        self._tokenizer = language.tokenizer
        self._context = context
        self._counters = counters
        self._cancelled = cancelled
        self._warn = warn
        self._telling = Telling(sinks, task, language.tokenizer)
        self._rulebook = Rulebook(task, language, warn)
        tracks = [score.tracks[part.id] for part in task.parts]
        self._working = Score(tracks, score.resolution, score.tempo)
        self._written: frozenset[tuple[int, int]] = frozenset()
        self._truncated = False
        self._steps = 0
        self.sampled = 0

    def candidate(self) -> Candidate[Result]:
        """Go through the windows, largest first, until everything is written."""
        *larger, smallest = window_sizes(self._task, self._tokenizer)
        for size in larger:
            status = yield from self._window(size, smallest=False)
            if status is not Status.TRUNCATED:
                return self._result(status)
            logger.warning("a step does not fit a window of %d bars; trying a smaller one", size)
        status = yield from self._window(smallest, smallest=True)
        if status is not Status.TRUNCATED:
            return self._result(status)
        raise GenerationError(
            f"no window fits: the prompt of a {smallest}-bar window takes "
            f"{self._counters.prompt_tokens} of the {self._context} tokens of the model; send "
            "fewer tracks or notes"
        )

    def _window(self, size: int, *, smallest: bool) -> Generator[Sequence[Row], None, Status]:
        bars = len(self._working.tracks[0].bars)
        for step in window_steps(self._task, size, self._splits, self._written, bars):
            if self._cancelled():
                return Status.CANCELLED
            status = yield from self._step(step, smallest=smallest)
            if status is not Status.COMPLETE:
                return status
        return Status.COMPLETE

    def _step(self, step: Step, *, smallest: bool) -> Generator[Sequence[Row], None, Status]:
        """Take one step; TRUNCATED asks for a smaller window."""
        began = time.perf_counter()
        levelled = with_levels(self._task, self._working, self._language.analyzer)
        grid = self._tokenizer.to_grid(levelled)
        prompt = self._prompt(step, grid, smallest=smallest)
        budget = self._context - len(prompt.tokens) - 1
        self._counters.prompt_tokens = len(prompt.tokens)
        self._counters.encode_s += time.perf_counter() - began
        if budget < 1:
            return Status.TRUNCATED
        writers = sum(bool(part.bars) for part in self._task.parts)
        if budget < _AMPLE * writers:
            self._warn(f"the context is nearly full: {budget} tokens are left to write in")
        row, after = yield from self._attempts(step, prompt, grid, budget, smallest=smallest)
        if row.status is Status.TRUNCATED and not smallest:
            return Status.TRUNCATED
        if row.status is Status.CANCELLED and not row.tokens:
            return Status.CANCELLED
        self._working = after
        self._written |= step.targets
        if row.status is Status.TRUNCATED:
            self._warn(f"the step that writes {_cells(self._task, step)} ran out of room")
        self._truncated |= row.status in {Status.TRUNCATED, Status.CANCELLED}
        return Status.CANCELLED if row.status is Status.CANCELLED else Status.COMPLETE

    def _prompt(self, step: Step, grid: Score, *, smallest: bool) -> Prompt:
        """The prompt of a step; in the last resort what was written pushes out the oldest bars."""
        prompt = build(self._task, step, grid, self._tokenizer)
        start, end = step.window
        forgotten = start
        written = any(start <= bar < end for _, bar in self._written)
        while smallest and written and forgotten < end:
            if len(prompt.tokens) + room_for(step, len(step.targets)) < self._context:
                break
            forgotten += 1
            prompt = build(self._task, step, grid, self._tokenizer, forgotten=forgotten)
        if forgotten > start:
            self._warn(
                f"what was written left no room: bars {start} to {forgotten - 1} were kept from "
                "the model when it wrote later ones"
            )
            self._truncated = True
        return prompt

    def _attempts(
        self, step: Step, prompt: Prompt, grid: Score, budget: int, *, smallest: bool
    ) -> Generator[Sequence[Row], None, tuple[Row, Score]]:
        """Sample until an attempt is accepted: the attempt and the working score after it."""
        self._telling.step_begins(step)
        reasons: Counter[str] = Counter()
        for batch in self._batches(step, prompt, grid, budget):
            attempt = batch[0].place[2]
            self._counters.attempt = attempt + 1
            self._counters.attempt_start = self._counters.sampled
            self._telling.attempt_begins(step, attempt)
            yield batch
            for row in batch:
                self.sampled += len(row.tokens)
                self._telling.attempt_ends(step, row)
            for row in batch:
                self._counters.attempt = row.place[2] + 1
                if row.status is Status.CRASHED:
                    reasons["constraint graph error"] += 1
                    continue
                after, failed = self._judge(step, prompt, grid, row)
                if row.status is Status.CANCELLED or not failed:
                    return row, after
                reasons.update(failed)
            if self._cancelled():
                row.status, row.tokens = Status.CANCELLED, []
                return row, self._working
        if row.status is Status.TRUNCATED and not smallest:
            return row, after
        raise GenerationError(self._failure(step, reasons))

    def _judge(self, step: Step, prompt: Prompt, grid: Score, row: Row) -> tuple[Score, list[str]]:
        """The working score after an attempt, and the checks that it fails."""
        began = time.perf_counter()
        tokenizer = self._tokenizer
        after = merge(
            step,
            prompt=prompt,
            sampled=row.tokens,
            working=self._working,
            grid=grid,
            tokenizer=tokenizer,
        )
        failed = rejections(grid, after, step.targets, self._task.config, tokenizer)
        self._counters.decode_s += time.perf_counter() - began
        return after, failed

    def _batches(
        self, step: Step, prompt: Prompt, grid: Score, budget: int
    ) -> Iterator[Sequence[Row]]:
        """The attempts that the request allows: one after the other, or all at once."""
        config = self._task.config
        # notes are told as they come only where one attempt follows the other
        together = 1 if self._telling.tells_notes or not config.batch_attempts else _TOGETHER
        rules = self._rulebook.rules(step, grid, prompt, budget, self._later(step))
        weights = self._rulebook.weights(step)
        number = self._steps
        self._steps += 1
        rows = (
            Row(
                prompt=prompt,
                rules=rules(attempt),
                temperature=config.temperature * config.temperature_escalation**attempt,
                place=(self.seed, number, attempt),
                budget=budget,
                weights=weights,
                watch=partial(self._telling.token, step),
            )
            for attempt in range(config.max_attempts)
        )
        return iter(lambda: list(islice(rows, together)), [])

    def _later(self, step: Step) -> int:
        """How many bars still to be written may have to share a window with this step's."""
        start, end = step.window
        bars = [bar for _, bar in step.targets]
        reach = range(max(bars) - (end - start) + 1, min(bars) + (end - start))
        rest = set(self._task.targets()) - self._written - step.targets
        return sum(bar in reach for _, bar in rest)

    def _result(self, status: Status) -> Result:
        score = restore(
            self._original,
            self._working,
            self._task,
            written=self._written,
            resolution=self._tokenizer.config.decode_resolution,
        )
        # told to stop with its last token, it still counts as stopped
        cancelled = status is Status.CANCELLED or self._cancelled()
        return Result(score, self._truncated, cancelled)

    def _failure(self, step: Step, reasons: Counter[str]) -> str:
        counted = ", ".join(f"{reason} {count}x" for reason, count in reasons.most_common())
        attempts = self._task.config.max_attempts
        return (
            f"none of {attempts} attempts at {_cells(self._task, step)} was accepted ({counted}); "
            "allow more (max_attempts), raise temperature or temperature_escalation, loosen the "
            "filters, or switch the check off"
        )


def _cells(task: Task, step: Step) -> str:
    """The bars of a step, for a person to read."""
    tracks = sorted({track for track, _ in step.targets})
    return ", ".join(
        f"bars {sorted(bar for t, bar in step.targets if t == track)} of track "
        f"{task.parts[track].id}"
        for track in tracks
    )

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
from midigpt.inference.draft import Draft
from midigpt.inference.events import Telling
from midigpt.inference.prompt import build
from midigpt.inference.row import Row, Status
from midigpt.inference.rulebook import Rulebook
from midigpt.inference.steps import room_for, window_sizes, window_steps
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from midigpt.inference.counters import Counters
    from midigpt.inference.draft import Take
    from midigpt.inference.events import Sinks
    from midigpt.inference.language import Language
    from midigpt.inference.loop import Candidate
    from midigpt.inference.plan import Cell, Step
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.steps import Splits
    from midigpt.inference.task import Task
    from midigpt.score import Bar

logger = logging.getLogger("midigpt")

_AMPLE = 20
"""Tokens per track to write with which a caller need not be warned."""

_TOGETHER = 8
"""Attempts that are sampled side by side; each holds keys and values of a whole prompt."""


@dataclass(frozen=True)
class Result:
    """What became of a candidate.

    Attributes:
        score: the finished score; of a cancelled one, as far as it got, and None if nothing was
            sampled.
        truncated: whether a step ran out of tokens.
        cancelled: whether it was told to stop.
    """

    score: Score | None
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
        self._splits = splits
        self._tokenizer = language.tokenizer
        self._context = context
        self._counters = counters
        self._cancelled = cancelled
        self._warn = warn
        self._telling = Telling(sinks, task, language.tokenizer)
        self._rulebook = Rulebook(task, language, warn)
        self._draft = Draft(task, score, language)
        self._bars = len(score.tracks[0].bars)
        self._left = Counter(bar for _, bar in task.targets())
        self._written: set[Cell] = set()
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
        for step in window_steps(self._task, size, self._splits, self._written, self._bars):
            if self._cancelled():
                return Status.CANCELLED
            status = yield from self._step(step, smallest=smallest)
            if status is not Status.COMPLETE:
                return status
        return Status.COMPLETE

    def _step(self, step: Step, *, smallest: bool) -> Generator[Sequence[Row], None, Status]:
        """Take one step; TRUNCATED asks for a smaller window."""
        began = time.perf_counter()
        prompt = self._prompt(step, smallest=smallest)
        budget = self._context - len(prompt.tokens) - 1
        self._counters.prompt_tokens = len(prompt.tokens)
        self._counters.encode_s += time.perf_counter() - began
        if budget < 1:
            return Status.TRUNCATED
        writers = sum(bool(part.bars) for part in self._task.parts)
        if budget < _AMPLE * writers:
            self._warn(f"the context is nearly full: {budget} tokens are left to write in")
        row, take = yield from self._attempts(step, prompt, budget, smallest=smallest)
        if row.status is Status.TRUNCATED and not smallest:
            self._telling.step_is_put_off(step)
            return Status.TRUNCATED
        if take is None:
            return Status.CANCELLED
        began = time.perf_counter()
        self._draft.accept(take)
        self._counters.decode_s += time.perf_counter() - began
        self._written |= step.targets
        self._left.subtract(bar for _, bar in step.targets)
        if row.status is Status.TRUNCATED:
            self._warn(f"the step that writes {_cells(self._task, step)} ran out of room")
        self._truncated |= row.status in {Status.TRUNCATED, Status.CANCELLED}
        return Status.CANCELLED if row.status is Status.CANCELLED else Status.COMPLETE

    def _prompt(self, step: Step, *, smallest: bool) -> Prompt:
        """The prompt of a step; in the last resort what was written pushes out the oldest bars."""
        window = self._draft.window(step.window)
        prompt = build(self._task, step, window, self._tokenizer)
        start, end = step.window
        least = room_for(step, len(step.targets))
        if not smallest or len(prompt.tokens) + least < self._context:
            return prompt
        if not any(start <= bar < end for _, bar in self._written):
            return prompt
        forgotten = start
        while forgotten < end and len(prompt.tokens) + least >= self._context:
            forgotten += 1
            prompt = build(self._task, step, window, self._tokenizer, forgotten=forgotten)
        self._warn(
            f"what was written left no room: bars {start} to {forgotten - 1} were kept from "
            "the model when it wrote later ones"
        )
        self._truncated = True
        return prompt

    def _attempts(
        self, step: Step, prompt: Prompt, budget: int, *, smallest: bool
    ) -> Generator[Sequence[Row], None, tuple[Row, Take | None]]:
        """Sample until an attempt is accepted: the attempt, and what it makes of the window.

        Told to stop before it has a token, it makes nothing of it; cut off at a window that is not
        the smallest, what it makes does not matter.
        """
        self._telling.step_begins(step)
        before = self._draft.read(step.targets)
        reasons: Counter[str] = Counter()
        take = None
        for batch in self._batches(step, before, prompt, budget):
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
                if row.status is Status.CANCELLED and not row.tokens:
                    return row, None
                take, failed = self._judge(step, before, prompt, row)
                if row.status is Status.CANCELLED or not failed:
                    return row, take
                reasons.update(failed)
            if self._cancelled():
                return row, None
        if row.status is Status.TRUNCATED and not smallest:
            return row, None
        raise GenerationError(self._failure(step, reasons, take))

    def _judge(
        self, step: Step, before: Mapping[Cell, Bar], prompt: Prompt, row: Row
    ) -> tuple[Take, list[str]]:
        """What an attempt makes of the window, and the checks that it fails."""
        began = time.perf_counter()
        take = self._draft.take(step, prompt, row.tokens)
        after = {cell: take.read[cell] for cell in step.targets}
        failed = rejections(before, after, self._task.config)
        self._counters.decode_s += time.perf_counter() - began
        return take, failed

    def _batches(
        self, step: Step, before: Mapping[Cell, Bar], prompt: Prompt, budget: int
    ) -> Iterator[Sequence[Row]]:
        """The attempts that the request allows: one after the other, or all at once."""
        config = self._task.config
        # notes are told as they come only where one attempt follows the other
        together = 1 if self._telling.tells_notes or not config.batch_attempts else _TOGETHER
        rules = self._rulebook.rules(step, before, prompt, budget, self._later(step))
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
        return sum(self._left[bar] for bar in reach) - len(bars)

    def _result(self, status: Status) -> Result:
        cancelled = status is Status.CANCELLED
        if cancelled and not self.sampled:
            return Result(None, self._truncated, cancelled)
        began = time.perf_counter()
        score = self._draft.answer(self._written)
        self._counters.decode_s += time.perf_counter() - began
        return Result(score, self._truncated, cancelled)

    def _failure(self, step: Step, reasons: Counter[str], last: Take | None) -> str:
        counted = ", ".join(f"{reason} {count}x" for reason, count in reasons.most_common())
        if last is not None:
            notes = sum(len(last.read[cell].notes) for cell in step.targets)
            counted += f"; the last one had {notes} notes"
        return (
            f"none of {self._task.config.max_attempts} attempts at {_cells(self._task, step)} was "
            f"accepted ({counted}); allow more (max_attempts), raise temperature or "
            "temperature_escalation, loosen the filters, or switch the check off"
        )


def _cells(task: Task, step: Step) -> str:
    """The bars of a step, for a person to read."""
    return ", ".join(f"bars {bars} of track {task.parts[t].id}" for t, bars in step.bars.items())

"""One row of the decode loop: an attempt at a step, token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.inference.lookahead import Guesser
from midigpt.inference.prompt import Prompt
from midigpt.inference.rules import Mask, Rules
from midigpt.model import sampling
from midigpt.model.pilot import Chart, Course

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midigpt.inference.filters import Filters


class Status(Enum):
    """How a row stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    CRASHED = "crash"
    CANCELLED = "cancelled"


@dataclass(slots=True, eq=False)
class Row:
    """One attempt at one step, being sampled.

    Attributes:
        prompt: what it starts from.
        rules: its rules, having read the prompt.
        temperature: its temperature.
        place: seed, step and attempt: where its random numbers come from.
        budget: the most tokens it may have.
        weights: vectors (V,) that its probabilities are multiplied by, one after the other.
        watch: told after every token, with the legal set (V,) that it was drawn from.
        tokens: what was sampled.
        status: how it stands.
        slot: its place in the decoder while it runs.
        ready: whether its next token can be drawn; else it waits for the decoder.
        logits: (V,), for its next token while it runs; right after a draw those of the drawn one.
        ahead: guesses at the tokens after those that the decoder was given for sure, in order,
            each with the logits after it.
    """

    prompt: Prompt
    rules: Rules
    temperature: float
    place: tuple[int, int, int]
    budget: int
    weights: tuple[Tensor, ...] = ()
    watch: Callable[[Row, Mask], None] = lambda *_: None
    tokens: list[int] = field(default_factory=list)
    status: Status = Status.RUNNING
    slot: int = -1
    ready: bool = True
    logits: Tensor = field(default_factory=partial(torch.empty, 0))
    ahead: list[tuple[int, Tensor]] = field(default_factory=list)
    _guesser: Guesser | None = None
    _stride: int = 2  # doubled before the first walk

    def push(self, token: int) -> None:
        """Append a sampled token."""
        self.tokens.append(token)
        self.rules.advance(token)
        if self.rules.complete(token):
            self.status = Status.COMPLETE
        elif len(self.tokens) >= self.budget:
            self.status = Status.TRUNCATED

    def guessed(self) -> bool:
        """Whether the latest token had been guessed, so that the logits after it are known."""
        if not self.ahead or self.ahead[0][0] != self.tokens[-1]:
            return False
        _, self.logits = self.ahead.pop(0)
        return True

    def read(self, logits: Iterable[Tensor], guesses: Sequence[int]) -> None:
        """Take what comes after the latest token and after each guess, (V,) each."""
        first, *others = logits
        self.ready, self.logits = True, first
        self.ahead = list(zip(guesses, others, strict=True))

    def guess(self, most: int) -> list[int]:
        """What may come next, at most so many tokens; never more than the budget has room for."""
        room = min(most, self.budget - len(self.tokens) - 1)
        if room <= 0:
            return []
        self._guesser = self._guesser or Guesser(self.prompt.tokens)
        return self._guesser.guess(len(self.prompt.tokens), self.tokens, room)

    def course(self, filters: Filters, most: int) -> Course:
        """How it goes on without being asked, for at most so many steps.

        Further each time that all went well; where guesses were wrong, as far as they were right.
        """
        wrong = len(self.ahead)
        self._stride = max(1, self._stride - wrong) if wrong else min(most, 2 * self._stride)
        count = len(self.tokens)
        numbers = range(count, min(count + self._stride, self.budget) - 1)
        outlook = self.rules.outlook()
        return Course(
            Chart(*outlook.chart),
            outlook.state,
            outlook.window,
            torch.from_numpy(outlook.allowed),
            torch.stack(self.weights).prod(dim=0) if self.weights else None,
            self.temperature,
            filters.limits,
            filters.droppable,
            [sampling.uniform(*self.place, position) for position in numbers],
        )

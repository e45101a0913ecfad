"""The decode loop: one turn samples one token for every row.

A candidate is a generator. It yields the rows it wants sampled and is resumed when they are done;
what it returns is its result. The loop neither knows nor cares whether its rows are candidates of
one request, attempts at one step, or steps of different lengths: rows come and go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from midigpt.errors import GenerationError
from midigpt.inference import sampling
from midigpt.inference.lookahead import Guesser
from midigpt.inference.prompt import Prompt
from midigpt.inference.rules import Mask, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midigpt.inference.counters import Counters
    from midigpt.inference.filters import Filters
    from midigpt.model.decoder import Decoder

R = TypeVar("R")


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
    logits: Tensor = field(default_factory=partial(torch.empty, 0))
    ahead: list[tuple[int, Tensor]] = field(default_factory=list)
    _guesser: Guesser | None = None

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

    def guess(self, most: int) -> list[int]:
        """What may come next, at most so many tokens; never more than the budget has room for."""
        room = min(most, self.budget - len(self.tokens) - 1)
        if room <= 0:
            return []
        self._guesser = self._guesser or Guesser(self.prompt.tokens)
        return self._guesser.guess(len(self.prompt.tokens), self.tokens, room)


_FIRST, _LATEST = 0, 1
"""Slots of the first prompt of a run and, where it has a single row at a time, of the latest."""

Candidate = Generator[Sequence[Row], None, R]


@dataclass(slots=True, eq=False)
class _Seat(Generic[R]):
    """A candidate in the loop: the rows it waits for, then its result."""

    candidate: Candidate[R]
    rows: Sequence[Row] = ()
    result: R | GenerationError | None = None

    def resume(self) -> Sequence[Row]:
        """Let the candidate judge its rows; the rows it wants next, none when it has ended."""
        try:
            self.rows = next(self.candidate)
        except StopIteration as end:
            self.result, self.rows = end.value, ()
        except GenerationError as error:
            # its traceback would hold this seat, which holds it
            self.result, self.rows = error.with_traceback(None), ()
        return self.rows

    @property
    def waits(self) -> bool:
        """Whether any of its rows still runs."""
        return any(row.status is Status.RUNNING for row in self.rows)


class Loop:
    """Runs candidates on one decoder.

    Args:
        decoder: holds the network and the rows' caches.
        filters: the request's sampling filters.
        cancelled: asked before every forward pass; True ends all rows where they stand.
        counters: added to.
    """

    def __init__(
        self,
        decoder: Decoder,
        filters: Filters,
        cancelled: Callable[[], bool],
        counters: Counters,
    ) -> None:
        self._decoder = decoder
        self._filters = filters
        self._cancelled = cancelled
        self._counters = counters

    @torch.inference_mode()
    def run(self, candidates: Iterable[Candidate[R]]) -> list[R | GenerationError]:
        """Run all candidates to their ends; the result, or the failure, of each."""
        seats = [_Seat(candidate) for candidate in candidates]
        live: list[Row] = []
        going = list(seats)
        used: set[int] = set()
        try:
            while going:
                starting = [row for seat in going if not seat.waits for row in seat.resume()]
                going = [seat for seat in going if seat.rows]
                # the first prompt stays where it is: who asks for the song again begins with it
                self._start(starting, {row.slot for row in live} | ({_FIRST} & used))
                used |= {row.slot for row in starting}
                live = self._turn([row for seat in going for row in seat.rows])
        finally:
            # two prompts are kept for the next run, the others give back their memory
            for slot in used - {_FIRST, _LATEST}:
                self._decoder.rewind(slot, 0)
        return [seat.result for seat in seats if seat.result is not None]

    def _start(self, rows: Sequence[Row], taken: set[int]) -> None:
        """Seat the rows in the decoder and read their prompts, equal ones only once."""
        read: dict[Prompt, Row] = {}
        free = (slot for slot in range(len(taken) + len(rows)) if slot not in taken)
        for row in rows:
            row.slot = next(free)
            source = read.setdefault(row.prompt, row)
            if source is row:
                self._prefill(row)
            elif source.status is Status.RUNNING:
                self._decoder.fork(source.slot, [row.slot])
                row.logits = source.logits
            else:
                row.status = source.status

    def _prefill(self, row: Row) -> None:
        def check() -> None:
            if self._cancelled():
                raise _Stopped

        decoder, prompt, counters = self._decoder, row.prompt, self._counters
        told, reused = decoder.prompt_tokens, decoder.reused_tokens
        began = time.perf_counter()
        try:
            row.logits = decoder.prefill(row.slot, prompt.tokens, prompt.hidden, check)
        except _Stopped:
            row.status = Status.CANCELLED
        counters.forward_s += time.perf_counter() - began
        reused = decoder.reused_tokens - reused
        counters.prompt_reused += reused
        counters.prompt_read += decoder.prompt_tokens - told - reused

    def _turn(self, rows: Sequence[Row]) -> list[Row]:
        """Sample a token for every running row; the rows that run on, ready for the next one."""
        rows = _running(rows)
        if rows and self._cancelled():
            for row in rows:
                row.status = Status.CANCELLED
        self._sample(_running(rows))
        rows = _running(rows)
        waiting = [row for row in rows if not row.guessed()]
        if waiting:
            self._step(waiting)
        return rows

    def _sample(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        logits = torch.stack([row.logits for row in rows])
        masks = np.empty(logits.shape, dtype=np.bool_)
        for row, mask in zip(rows, masks, strict=True):
            row.rules.mask(mask)
        legal: Mask = np.any(masks, axis=1)
        for row, possible in zip(rows, legal, strict=True):
            if not possible:
                row.status = Status.CRASHED
        rows = _running(rows)
        if not rows:
            return
        probs = self._probabilities(rows, logits, masks, legal)
        numbers = [sampling.uniform(*row.place, len(row.tokens)) for row in rows]
        tokens = sampling.draw(probs, numbers)
        for row, token, mask in zip(rows, tokens, masks[legal], strict=True):
            row.push(token)
            self._counters.sampled += 1
            row.watch(row, mask)
        longest = max(len(row.prompt.tokens) + len(row.tokens) for row in rows)
        self._counters.peak_tokens = max(self._counters.peak_tokens, longest)

    def _probabilities(
        self, rows: Sequence[Row], logits: Tensor, masks: Mask, legal: Mask
    ) -> Tensor:
        """The final distribution of each row, (B, V); rows that may not sample are left out."""
        temperatures = torch.tensor([[row.temperature] for row in rows], dtype=torch.float32)
        keep = torch.from_numpy(legal)
        probs = sampling.probabilities(logits[keep], torch.from_numpy(masks)[keep], temperatures)
        for index, row in enumerate(rows):
            for weights in row.weights:
                probs[index] = sampling.reweight(probs[index : index + 1], weights)[0]
        return self._filters.apply(probs)

    def _step(self, rows: Sequence[Row]) -> None:
        """Let the decoder read the latest tokens; where there is one row, guesses ride along."""
        for row in rows:
            if row.ahead:
                self._decoder.rewind(row.slot, len(row.prompt.tokens) + len(row.tokens) - 1)
        first = rows[0]
        guess = first.guess(self._decoder.lookahead) if len(rows) == 1 else []
        began = time.perf_counter()
        slots = [row.slot for row in rows] + [first.slot] * len(guess)
        logits = self._decoder.step(slots, [row.tokens[-1] for row in rows] + guess)
        self._counters.forward_s += time.perf_counter() - began
        for row, line in zip(rows, logits, strict=False):
            row.logits, row.ahead = line, []
        first.ahead = list(zip(guess, logits[len(rows) :], strict=True))


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Raised inside a prefill to leave it."""


def _running(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.status is Status.RUNNING]

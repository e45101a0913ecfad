"""The decode loop: one turn samples one token for every row.

A candidate is a generator. It yields the rows it wants sampled and is resumed when they are done;
what it returns is its result. The loop neither knows nor cares whether its rows are candidates of
one request, attempts at one step, or steps of different lengths: rows come and go.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from midigpt.errors import GenerationError
from midigpt.inference.row import Row, Status
from midigpt.model import sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from midigpt.inference.counters import Counters
    from midigpt.inference.filters import Filters
    from midigpt.inference.prompt import Prompt
    from midigpt.inference.rules import Mask
    from midigpt.model.decoder import Decoder

R = TypeVar("R")


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
        self._sample([row for row in _running(rows) if row.ready])
        rows = _running(rows)
        for row in rows:
            row.ready = row.ready and row.guessed()
        # who has guesses left goes on with them, so that all take the next step together
        if rows and not any(row.ready for row in rows):
            self._advance(rows)
        return rows

    def _sample(self, rows: Sequence[Row]) -> None:
        """Draw a token for each of ``rows``; those that may have none crash."""
        masks = np.empty((len(rows), self._decoder.vocab_size), dtype=np.bool_)
        for row, mask in zip(rows, masks, strict=True):
            row.rules.mask(mask)
        possible: Mask = np.any(masks, axis=1)
        if not possible.all():
            for row, alive in zip(rows, possible, strict=True):
                if not alive:
                    row.status = Status.CRASHED
            rows, masks = _running(rows), masks[possible]
        if not rows:
            return
        probs = self._probabilities(rows, masks)
        numbers = [sampling.uniform(*row.place, len(row.tokens)) for row in rows]
        tokens = sampling.draw(probs, numbers)
        for row, token, mask in zip(rows, tokens, masks, strict=True):
            row.push(token)
            self._counters.sampled += 1
            row.watch(row, mask)
        longest = max(len(row.prompt.tokens) + len(row.tokens) for row in rows)
        self._counters.peak_tokens = max(self._counters.peak_tokens, longest)

    def _probabilities(self, rows: Sequence[Row], masks: Mask) -> Tensor:
        """The final distribution of each row, (B, V)."""
        logits = torch.stack([row.logits for row in rows])
        temperatures = torch.tensor([[row.temperature] for row in rows], dtype=torch.float32)
        probs = sampling.probabilities(logits, torch.from_numpy(masks), temperatures)
        for index, row in enumerate(rows):
            for weights in row.weights:
                probs[index] = sampling.reweight(probs[index : index + 1], weights)[0]
        return self._filters.apply(probs)

    def _advance(self, rows: Sequence[Row]) -> None:
        """Let the decoder read the latest tokens, and guesses at what follows them."""
        for row in rows:
            if row.ahead:
                self._decoder.rewind(row.slot, len(row.prompt.tokens) + len(row.tokens) - 1)
        if self._decoder.stride:
            self._walk(rows)
        else:
            self._step(rows)

    def _walk(self, rows: Sequence[Row]) -> None:
        """The guesses are the decoder's own: it draws as we do, by fewer rules."""
        decoder = self._decoder
        courses = [row.course(self._filters, decoder.stride) for row in rows]
        began = time.perf_counter()
        walks = decoder.walk([row.slot for row in rows], [row.tokens[-1] for row in rows], courses)
        self._counters.forward_s += time.perf_counter() - began
        for row, walked in zip(rows, walks, strict=True):
            row.read(*walked)

    def _step(self, rows: Sequence[Row]) -> None:
        """The guesses are ours; where there is one row, they ride along."""
        first = rows[0]
        guess = first.guess(self._decoder.lookahead) if len(rows) == 1 else []
        slots = [row.slot for row in rows] + [first.slot] * len(guess)
        began = time.perf_counter()
        logits = self._decoder.step(slots, [row.tokens[-1] for row in rows] + guess)
        self._counters.forward_s += time.perf_counter() - began
        first.read([logits[0], *logits[len(rows) :]], guess)
        for row, line in zip(rows[1:], logits[1:], strict=False):
            row.read([line], [])


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Raised inside a prefill to leave it."""


def _running(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.status is Status.RUNNING]

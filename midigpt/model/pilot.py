"""Drawing tokens on the device, so that rows go on for some steps while nobody waits.

What the device draws are guesses: it knows the grammar as a table, and of a request what can be
said once for some steps. Who asked for them draws again, by all the rules, and a guess that turns
out wrong is forgotten with all that came after it. So nothing here has to be exact, but the better
it is the further a row gets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from midigpt.model.sampling import Limits, cut, drawn, reweight, softened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

STRIDE = 8
"""The most steps a row goes by itself; the first is that of a token it was given."""


class Chart(NamedTuple):
    """A machine of S states that reads tokens and says which may come next.

    Attributes:
        moves: the next state, per state and token, (S, V).
        allowed: the tokens allowed in a state, but for the window, (S, V).
        windowed: per state, whether tokens with a position are limited to the window, (S,).
        windows: per token its position, and where the window begins and ends from then on; -1 where
            it has none, and where that stays, (3, V).
    """

    moves: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    windowed: NDArray[np.bool_]
    windows: NDArray[np.int64]


class Course(NamedTuple):
    """How a row is to go on.

    Attributes:
        chart: a machine; those shown to one decoder differ in what is allowed and windowed only.
        state: its state, the latest token included.
        window: the first position of the window, and its end.
        allowed: tokens that may come at all, bool, (V,).
        weights: what probabilities are multiplied by, float32, (V,); None for nothing.
        temperature: its temperature.
        limits: how the distribution is cut down, in numbers.
        droppable: which tokens the masks among these may drop; bool, (V,).
        numbers: for each token to be drawn its number in [0, 1); fewer than ``STRIDE``.
    """

    chart: Chart
    state: int
    window: tuple[int, int]
    allowed: Tensor
    weights: Tensor | None
    temperature: float
    limits: Limits
    droppable: Tensor
    numbers: Sequence[float]


def free_course(vocab_size: int, numbers: Sequence[float]) -> Course:
    """The course of a row in which every token may come."""
    moves = np.zeros((1, vocab_size), dtype=np.int64)
    chart = Chart(moves, moves == 0, np.zeros(1, dtype=np.bool_), np.full((3, vocab_size), -1))
    anything = torch.ones(vocab_size, dtype=torch.bool)
    limits = Limits(vocab_size, math.inf, 0, 0.0)
    return Course(chart, 0, (0, 0), anything, None, 1.0, limits, anything, numbers)


class Walked(NamedTuple):
    """What a row has come to.

    Attributes:
        logits: after the given token and after each of the guesses, (n, V), float32, on the CPU.
        guesses: the tokens the device has drawn and read, n - 1 of them.
    """

    logits: Tensor
    guesses: list[int]


class Pilot:
    """Draws tokens for the rows of a bank; all of its memory stays where it is.

    Args:
        rows: how many, B.
        chart: any of those that will be shown to it.
        device: where it draws.

    Attributes:
        log: per step and row the logits, and behind them the token drawn, (STRIDE, B, V + 1).
    """

    def __init__(self, rows: int, chart: Chart, device: torch.device) -> None:
        vocab_size = chart.windows.shape[1]

        def memory(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.log = memory(STRIDE, rows, vocab_size + 1)
        self._last = vocab_size - 1
        self._rows = torch.arange(rows, device=device)
        self._turn = memory(1, dtype=torch.int64)
        self._numbers = memory(STRIDE, rows, dtype=torch.float64)
        self._place = memory(3, rows, dtype=torch.int64)  # state, and window
        self._dials = memory(5, rows, 1)  # temperature, and limits
        self._weights = memory(rows, vocab_size)
        self._masks = memory(2, rows, vocab_size, dtype=torch.bool)  # allowed, and droppable
        self._shown: list[NDArray[np.bool_] | None] = [None] * rows
        self._charts = _Charts.like(chart, rows, device)

    def set(self, courses: Mapping[int, Course]) -> None:
        """Begin anew with these rows; what is drawn for the others does not matter."""
        for row, course in courses.items():
            self._show(row, course.chart)
        some = next(iter(courses.values()))
        full = [courses.get(row, some) for row in range(len(self._shown))]
        ones = torch.ones(self._last + 1)
        numbers = [[*course.numbers, *[0.0] * STRIDE][:STRIDE] for course in full]
        self._turn.zero_()
        self._numbers.copy_(torch.tensor(numbers, dtype=torch.float64).T)
        self._place.copy_(torch.tensor([[course.state, *course.window] for course in full]).T)
        dials = torch.tensor([[course.temperature, *course.limits] for course in full])
        self._dials.copy_(dials.T[..., None])
        weights = [ones if course.weights is None else course.weights for course in full]
        self._weights.copy_(torch.stack(weights))
        masks = [torch.stack([course.allowed, course.droppable]) for course in full]
        self._masks.copy_(torch.stack(masks, dim=1))

    def choose(self, logits: Tensor) -> Tensor:
        """Draw the next tokens: (B, V) to (B,). Never waits, and depends on memory only."""
        temperatures, *limits = self._dials
        probs = softened(logits, self._legal(), temperatures)
        probs = cut(reweight(probs, self._weights), self._masks[1], Limits(*limits))
        numbers = self._numbers.index_select(0, self._turn)[0]
        # where nothing is allowed there are no probabilities, and any token will do
        tokens = drawn(probs, numbers).clamp(0, self._last)
        line = torch.cat([logits, tokens[:, None]], dim=1)
        self.log.index_copy_(0, self._turn, line[None])
        self._turn.add_(1)
        self._advance(tokens)
        return tokens

    def _legal(self) -> Tensor:
        """What may come next, (B, V)."""
        state, low, high = self._place
        positions, windowed = self._charts.windows[0], self._charts.windowed[self._rows, state]
        outside = (positions < low[:, None]) | (positions >= high[:, None])
        outside &= (positions >= 0) & windowed[:, None]
        legal: Tensor = self._charts.allowed[self._rows, state] & self._masks[0]
        return legal.logical_and_(~outside)

    def _advance(self, tokens: Tensor) -> None:
        """Observe a token of each row, (B,)."""
        after = self._charts.windows[1:, tokens]  # (2, B)
        window = torch.where(after >= 0, after, self._place[1:])
        state = self._charts.moves[self._place[0], tokens]
        self._place.copy_(torch.cat([state[None], window]))

    def _show(self, row: int, chart: Chart) -> None:
        """Have a row's chart on the device."""
        if self._shown[row] is chart.allowed:
            return
        self._charts.allowed[row].copy_(torch.from_numpy(chart.allowed))
        self._charts.windowed[row].copy_(torch.from_numpy(chart.windowed))
        self._shown[row] = chart.allowed


class _Charts(NamedTuple):
    """Charts of B rows on a device.

    Attributes:
        moves: of all rows, (S, V).
        windows: the same, (3, V).
        allowed: of each row, (B, S, V).
        windowed: the same, (B, S).
    """

    moves: Tensor
    windows: Tensor
    allowed: Tensor
    windowed: Tensor

    @classmethod
    def like(cls, chart: Chart, rows: int, device: torch.device) -> Self:
        """With what ``chart`` has in common with all others."""
        return cls(
            torch.from_numpy(chart.moves).to(device),
            torch.from_numpy(chart.windows).to(device),
            torch.zeros(rows, *chart.allowed.shape, dtype=torch.bool, device=device),
            torch.zeros(rows, *chart.windowed.shape, dtype=torch.bool, device=device),
        )

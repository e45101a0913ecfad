"""Keys and values that stay where they are: banks of lanes, one for each row of a decoder.

A captured step knows addresses and nothing else. So a bank is allocated whole; all of its lanes
take every step, whether their rows do or not; and where a token goes and what it may look at is
read from memory too. A token that is none goes to a spare place at the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.model.graph_attending import Stepping
from midigpt.model.pilot import Pilot
from midigpt.model.row import Books

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from midigpt.model.capture import Launcher
    from midigpt.model.graph_network import GraphNetwork
    from midigpt.model.pilot import Course

LANES = 4
"""Rows per bank.

Weights are read once for all of them, but the keys of each are read whether a row is there or not.
"""

SHORTEST = 256
"""Keys that the shortest step looks at. There is one for each doubling up to the context."""

GRAIN = 64
"""A bank's capacity is a multiple of this, which keeps every lane aligned."""


class Bank:
    """Memory of ``LANES`` rows, and the steps that they take together.

    Attributes:
        memory: (layers, 2, LANES, H, capacity, d). What lies behind the held tokens is finite:
            a masked value still counts, as nothing times itself.
    """

    def __init__(self, network: GraphNetwork, launcher: Launcher) -> None:
        self._spare = network.config.n_positions
        self._capacity = -(-(self._spare + 1) // GRAIN) * GRAIN
        self.memory = network.memory(LANES, self._capacity)
        self._network = network
        self._launcher = launcher
        device, vocab_size = network.device, network.config.vocab_size
        # tokens, their positions, their places in memory, and by how much those two grow when a
        # lane goes on by itself
        self._inputs = torch.zeros(LANES, 4, dtype=torch.int64, device=device)
        self._logits = torch.zeros(LANES, vocab_size, device=device)
        self._pilot: Pilot | None = None
        self._steps: dict[int, Callable[[], None]] = {}
        self._strides: dict[int, Callable[[], None]] = {}

    def bucket(self, total: int) -> int:
        """How many keys a step looks at that lets a row hold ``total`` tokens."""
        return min(max(SHORTEST, 1 << (total - 1).bit_length()), self._capacity)

    def step(self, bucket: int, moves: Mapping[Lane, int]) -> Tensor:
        """Compute the next token of some lanes.

        Args:
            bucket: how many keys to look at.
            moves: the tokens of some lanes of this bank, none of which changes.

        Returns:
            Logits, (LANES, V), on the device; valid until the next step.
        """
        self._place(moves)
        if bucket not in self._steps:
            self._steps[bucket] = self._launcher.prepared(partial(self._take, bucket))
        self._steps[bucket]()
        return self._logits

    def walk(self, bucket: int, moves: Mapping[Lane, tuple[int, Course]], count: int) -> Tensor:
        """Let some lanes go on by themselves for ``count`` steps, the first with a given token.

        Returns:
            (count, LANES, V + 1), on the device, valid until the next walk: the logits of every
            step, and behind them the token drawn from them.
        """
        courses = {lane.index: course for lane, (_, course) in moves.items()}
        if self._pilot is None:
            chart = next(iter(courses.values())).chart
            self._pilot = Pilot(LANES, chart, self._network.device)
        self._pilot.set(courses)
        if bucket not in self._strides:
            # what prepares it may run it a few times: with no lane taking part
            self._place({})
            stride = partial(self._take_and_draw, bucket, self._pilot)
            self._strides[bucket] = self._launcher.prepared(stride)
            self._pilot.set(courses)
        self._place({lane: token for lane, (token, _) in moves.items()})
        for _ in range(count):
            self._strides[bucket]()
        return self._pilot.log[:count]

    def _place(self, moves: Mapping[Lane, int]) -> None:
        """Show the next step its tokens."""
        inputs = [(0, 0, self._spare, 0)] * LANES
        for lane, token in moves.items():
            inputs[lane.index] = token, lane.length, len(lane.held), 1
        self._inputs.copy_(torch.tensor(inputs), non_blocking=True)

    def _take(self, bucket: int) -> None:
        """What is captured as a step: reads and writes memory that stays where it is."""
        tokens, positions, places, _ = self._inputs.unbind(1)
        stepping = Stepping(self._network.config, self.memory, bucket, places)
        hidden = self._network.hidden(tokens, positions, stepping)
        self._logits.copy_(self._network.logits(hidden))

    def _take_and_draw(self, bucket: int, pilot: Pilot) -> None:
        """The same for a step of a walk: leaves what the next one reads."""
        self._take(bucket)
        self._inputs[:, 0].copy_(pilot.choose(self._logits))
        self._inputs[:, 1:3].add_(self._inputs[:, 3:])


class Lane(Books):
    """One row's tokens, with their keys and values in its part of a bank.

    Args:
        bank: where it lies.
        index: which lane of it.

    Attributes:
        memory: (layers, 2, H, capacity, d).
    """

    def __init__(self, bank: Bank, index: int) -> None:
        super().__init__()
        self.bank = bank
        self.index = index
        self.memory = bank.memory[:, :, index]

    def take(self, other: Lane, count: int) -> None:
        """Hold the first ``count`` tokens of ``other``, which may be this one, and nothing else."""
        if other is not self:
            self.memory[..., :count, :] = other.memory[..., :count, :]
        self.keep(other, count)

    def copy(self, other: Lane) -> None:
        """Hold what ``other`` holds."""
        self.take(other, len(other.held))
        self.length, self.prompt, self.logits = other.length, other.prompt, other.logits

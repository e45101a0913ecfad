"""Keys and values that stay where they are: banks of lanes, one for each row of a decoder.

A captured step knows addresses and nothing else. So a bank is allocated whole; all of its lanes
take every step, with as many tokens as there is room for, whether rows have them or not; and where
a token goes and what it may look at is read from memory too. A token that is none goes to a spare
place at the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.model.graph_attending import Stepping
from midigpt.model.row import Books

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from midigpt.model.capture import Launcher
    from midigpt.model.graph_network import GraphNetwork

LANES = 4
"""Rows per bank.

Weights are read once for all of them, but the keys of each are read whether a row is there or not.
"""

QUERIES = 4
"""Tokens per lane and step.

Together with the lanes as many as one tile of a matrix product has anyway.
"""

SHORTEST = 256
"""Keys that the shortest step looks at. There is one for each doubling up to the context."""

GRAIN = 64
"""A bank's capacity is a multiple of this, which keeps every lane aligned."""


class Bank:
    """Memory of ``LANES`` rows, and the step that they take together.

    Attributes:
        memory: (layers, 2, LANES, H, capacity, d). What lies behind the held tokens is finite:
            a masked value still counts, as nothing times itself.
    """

    def __init__(self, network: GraphNetwork, launcher: Launcher) -> None:
        self._spare = network.config.n_positions
        self._capacity = -(-(self._spare + QUERIES) // GRAIN) * GRAIN
        self.memory = network.memory(LANES, self._capacity)
        self._network = network
        self._launcher = launcher
        shape, device = (LANES, QUERIES), network.device
        self._inputs = torch.zeros(*shape, 3, dtype=torch.int64, device=device)
        self._logits = torch.zeros(*shape, network.config.vocab_size, device=device)
        self._steps: dict[int, Callable[[], None]] = {}

    def bucket(self, total: int) -> int:
        """How many keys a step looks at that lets a row hold ``total`` tokens."""
        return min(max(SHORTEST, 1 << (total - 1).bit_length()), self._capacity)

    def step(self, bucket: int, moves: Mapping[Lane, Sequence[int]]) -> Tensor:
        """Compute the next tokens of some lanes.

        Args:
            bucket: how many keys to look at.
            moves: lanes of this bank, none of which changes, with at most ``QUERIES`` tokens each.

        Returns:
            Logits, (LANES, QUERIES, V), on the device; valid until the next step.
        """
        none = [(0, 0, self._spare + query) for query in range(QUERIES)]
        inputs = [none.copy() for _ in range(LANES)]
        for lane, tokens in moves.items():
            for query, token in enumerate(tokens):
                inputs[lane.index][query] = token, lane.length + query, len(lane.held) + query
        self._inputs.copy_(torch.tensor(inputs), non_blocking=True)
        if bucket not in self._steps:
            step = partial(
                take_step, self._network, self.memory, bucket, self._inputs, self._logits
            )
            self._steps[bucket] = self._launcher.prepared(step)
        self._steps[bucket]()
        return self._logits


def take_step(
    network: GraphNetwork, memory: Tensor, bucket: int, inputs: Tensor, logits: Tensor
) -> None:
    """What is captured: reads ``inputs`` and ``memory``, writes ``memory`` and ``logits``.

    Args:
        network: the weights.
        memory: of a bank.
        bucket: how many keys to look at.
        inputs: tokens with their positions and their places in ``memory``, (LANES, QUERIES, 3).
        logits: (LANES, QUERIES, V).
    """
    tokens, positions, places = inputs.unbind(-1)
    stepping = Stepping(network.config, memory, bucket, places)
    hidden = network.hidden(tokens.flatten(), positions.flatten(), stepping)
    logits.copy_(network.logits(hidden).view_as(logits))


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

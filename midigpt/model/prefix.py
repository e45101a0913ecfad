"""The keys and values of a prompt, and of what rows sampled after it.

Memory grows in steps; what lies behind the held tokens is always finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midigpt.model.row import common_beginning

if TYPE_CHECKING:
    from midigpt.model.gpt2 import GPT2Config
    from midigpt.model.row import Placed

STEP = 256
"""Tokens by which a prompt's memory grows; a multiple of the grid that prompts are read on."""

FIRST = 64
"""Tokens for which the tails have room at first; then it doubles."""


class Prefix:
    """A prompt's visible tokens with their keys and values; several rows may share one.

    Attributes:
        held: the tokens, with their positions, in order.
        users: how many rows share it. Only what a single row uses may be changed.
        keys: (layers, H, d, capacity): laid out for products with few queries.
        values: (layers, H, capacity, d).
    """

    def __init__(self, config: GPT2Config) -> None:
        self.held: list[Placed] = []
        self.users = 1
        self.keys = torch.zeros(config.n_layer, config.n_head, config.head_dim, 0)
        self.values = torch.zeros(config.n_layer, config.n_head, 0, config.head_dim)

    @property
    def nbytes(self) -> int:
        """Bytes of its memory."""
        return self.keys.nbytes + self.values.nbytes

    def views(self, count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Keys (H, d, count) and values (H, count, d) of the first tokens, layer by layer."""
        return self.keys[..., :count].unbind(), self.values[:, :, :count].unbind()

    def reserve(self, total: int) -> None:
        """Make room for ``total`` tokens."""
        if total > self.keys.shape[3]:
            capacity = -(-total // STEP) * STEP
            self.keys = _grown(self.keys, 3, capacity)
            self.values = _grown(self.values, 2, capacity)

    def common(self, visible: list[Placed]) -> int:
        """How many tokens ``visible`` begins with that are held."""
        return common_beginning(self.held, visible)

    def keep(self, count: int) -> None:
        """Hold the first ``count`` tokens only."""
        del self.held[count:]

    def take(self, other: Prefix, count: int) -> None:
        """Hold the first ``count`` tokens of ``other``, copied, and nothing else."""
        self.reserve(count)
        self.keys[..., :count] = other.keys[..., :count]
        self.values[:, :, :count] = other.values[:, :, :count]
        self.held = other.held[:count]


class Tails:
    """Memory for what rows sample, a slot for each.

    All slots lie in one block, so that neighbours of equal length are read together.
    """

    def __init__(self, config: GPT2Config) -> None:
        # layers, key and value, slots, heads, tokens, head width
        self._empty = torch.zeros(config.n_layer, 2, 0, config.n_head, 0, config.head_dim)
        self._memory = self._empty
        self._used: set[int] = set()

    @property
    def nbytes(self) -> int:
        """Bytes of its memory."""
        return self._memory.nbytes

    def lend(self) -> int:
        """A slot that nobody uses, the lowest there is."""
        slot = next(slot for slot in range(len(self._used) + 1) if slot not in self._used)
        self._used.add(slot)
        if slot >= self._memory.shape[2]:
            self._memory = _grown(self._memory, 2, slot + 1)
        return slot

    def give_back(self, slot: int) -> None:
        """End the use of a slot; with the last one most of the memory goes too."""
        self._used.discard(slot)
        if not self._used and self._memory.shape[2] > 1:
            self._memory = self._empty

    def reserve(self, total: int) -> None:
        """Make room for ``total`` tokens in every slot."""
        capacity = self._memory.shape[4]
        if total > capacity:
            self._memory = _grown(self._memory, 4, max(total, 2 * capacity, FIRST))

    def copy(self, source: int, target: int, count: int) -> None:
        """Copy the first ``count`` tokens from slot to slot."""
        self._memory[:, :, target, :, :count] = self._memory[:, :, source, :, :count]

    def places(self, slot: int, many: int, index: int) -> tuple[Tensor, ...]:
        """One token's memory in ``many`` slots from ``slot``, (many, 2, H, d), layer by layer."""
        return self._memory[:, :, slot : slot + many, :, index].transpose(1, 2).unbind()

    def views(
        self, slot: int, many: int, count: int
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Keys (many H, d, count) and values (many H, count, d) of the first tokens there."""
        slots = self._memory[:, :, slot : slot + many, :, :count]
        keys, values = slots.view(*slots.shape[:2], -1, *slots.shape[4:]).unbind(1)
        return keys.transpose(-2, -1).unbind(), values.unbind()


def _grown(memory: Tensor, dim: int, size: int) -> Tensor:
    """A larger copy of ``memory``, zero where it is new."""
    shape = list(memory.shape)
    shape[dim] = size
    grown = memory.new_zeros(shape)
    grown.narrow(dim, 0, memory.shape[dim]).copy_(memory)
    return grown

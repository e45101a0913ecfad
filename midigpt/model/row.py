"""One row of a decoder: its tokens, and the keys and values computed for them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midigpt.model.gpt2 import GPT2LMHeadModel, KVCache

CHUNK = 256
"""Tokens per forward pass of a prefill.

The same sums in another shape round differently, so a chunk always begins at a multiple of this
and only whole chunks are kept for the next prompt: a prompt's logits are the same, bit for bit,
whatever the row held before.
"""

Placed = tuple[int, int]
"""A token and its position."""


def common_beginning(held: list[Placed], visible: list[Placed]) -> int:
    """How many tokens both begin with."""
    shorter = min(len(held), len(visible))
    if held[:shorter] == visible[:shorter]:
        return shorter
    pairs = enumerate(zip(held, visible, strict=False))
    return next(index for index, (old, new) in pairs if old != new)


@dataclass(frozen=True)
class Prompt:
    """A prompt as asked for, and the part of it that is computed."""

    tokens: list[int]
    visible: list[Placed]

    @classmethod
    def of(cls, tokens: Sequence[int], hidden: Sequence[tuple[int, int]]) -> Prompt:
        """The prompt ``tokens`` without the spans ``[start, end)`` of positions in ``hidden``."""
        everywhere = range(len(tokens))
        unseen = {at for start, end in hidden for at in everywhere[start:end]}
        visible = [(token, at) for at, token in enumerate(tokens) if at not in unseen]
        return cls(list(tokens), visible)

    @property
    def ends_visible(self) -> bool:
        """Whether the last token is not hidden."""
        return bool(self.visible) and self.visible[-1][1] == len(self.tokens) - 1


class Books:
    """Which tokens a row holds, wherever their keys and values lie.

    Attributes:
        held: the tokens whose keys are held, with their positions, in order.
        length: position of the next token.
        whole: how many of ``held`` were computed in whole chunks.
        prompt: the last prompt, while the row still begins with all of it.
        logits: those after ``prompt``, (V,).
    """

    def __init__(self) -> None:
        self.held: list[Placed] = []
        self.length = 0
        self.whole = 0
        self.prompt: Prompt | None = None
        self.logits = torch.empty(0)

    def usable(self, visible: list[Placed]) -> int:
        """How many tokens, in whole chunks, ``visible`` begins with too; never all of it."""
        common = common_beginning(self.held, visible)
        return max(0, min(common, self.whole, len(visible) - 1)) // CHUNK * CHUNK

    def keep(self, other: Books, count: int) -> None:
        """Hold the first ``count`` tokens of ``other``, which may be these, and nothing else."""
        self.held = other.held[:count]
        self.length = self.held[-1][1] + 1 if self.held else 0
        self.whole = min(other.whole, count)
        self.prompt = None

    def extend(self, tokens: list[Placed]) -> None:
        """Hold ``tokens``, whose keys and values are there."""
        if self.whole == len(self.held) and len(tokens) == CHUNK:
            self.whole += CHUNK
        self.held += tokens
        self.length = tokens[-1][1] + 1

    def finish(self, prompt: Prompt, logits: Tensor) -> None:
        """Hold the whole of ``prompt``, with the logits after it."""
        self.length, self.prompt, self.logits = len(prompt.tokens), prompt, logits

    def rewind(self, length: int) -> None:
        """Forget the tokens from position ``length`` on."""
        del self.held[bisect_left(self.held, length, key=lambda placed: placed[1]) :]
        self.whole = min(self.whole, len(self.held))
        self.length = length
        if self.prompt is not None and length < len(self.prompt.tokens):
            self.prompt = None


class Row(Books):
    """One row's tokens with their keys and values, in memory that grows geometrically."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        super().__init__()
        self._model = model
        config = model.config
        # layers, key and value, rows (one), heads, tokens, head width
        shape = (config.n_layer, 2, 1, config.n_head, 0, config.head_dim)
        self._memory = model.lm_head.weight.new_empty(shape)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write one layer's new pair behind the held ones, (1, H, T, d); returns the whole pair."""
        begin = len(self.held)
        pair = self._memory[layer, ..., : begin + keys.shape[2], :]
        pair[0, ..., begin:, :] = keys
        pair[1, ..., begin:, :] = values
        return pair[0], pair[1]

    def reserve(self, total: int) -> None:
        """Make room for ``total`` tokens."""
        capacity = self._memory.shape[-2]
        if total <= capacity:
            return
        wanted = max(total, min(2 * capacity, self._model.config.n_positions))
        shape = list(self._memory.shape)
        shape[-2] = -(-wanted // CHUNK) * CHUNK
        grown = self._memory.new_empty(shape)
        used = len(self.held)
        grown[..., :used, :] = self._memory[..., :used, :]
        self._memory = grown

    def cache(self, count: int) -> KVCache:
        """The first ``count`` tokens' keys and values, layer by layer."""
        return tuple((keys, values) for keys, values in self._memory[..., :count, :])

    def copy(self) -> Row:
        """The same tokens in memory of their own, which has room for what is held only."""
        twin = Row(self._model)
        twin.reserve(len(self.held))
        twin._memory[..., : len(self.held), :] = self._memory[..., : len(self.held), :]
        twin.keep(self, len(self.held))
        twin.length, twin.prompt, twin.logits = self.length, self.prompt, self.logits
        return twin

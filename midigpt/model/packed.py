"""The network once more, with packed weights, for the CPU.

Reads like :mod:`midigpt.model.gpt2` without the batch axis: M tokens, of one row or of many, pass
through together, and only attention knows which belongs where. A token's result does not depend on
the tokens beside it, bit for bit: every operation works token by token, in the same order whatever
M is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from midigpt.model.packing import Map, Precision, packed, packed_for_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from midigpt.model.gpt2 import Block, GPT2Config, GPT2LMHeadModel, Projection
    from midigpt.model.row import Placed

WIDTH_STEP = 32
"""What the width must be a multiple of: whole vectors, with nothing left for a scalar loop."""

GELU_ELEMENTS = 16384
"""From here on PyTorch cuts a GELU into one piece per thread, wherever that falls."""

_gelu = torch.ops.aten.gelu.out

Attend = Callable[[int, Tensor], Tensor]
"""Layer and (M, 3 D), queries, keys and values side by side, to what attention finds, (M, D)."""


class Norm(NamedTuple):
    """A layer norm."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(M, D) to (M, D)."""
        return torch.layer_norm(x, self.weight.shape, self.weight, self.bias)


class PackedBlock(NamedTuple):
    """One layer's maps."""

    norm_1: Norm
    norm_2: Norm
    qkv: Map
    attended: Map
    widen: Map
    narrow: Map


class PackedNetwork:
    """A network's weights, packed; shared by decoders, and never changed.

    Args:
        model: the network, on the CPU. Its parameters are given up on the way, so that at no time
            all of the weights are there once more.
        precision: how the weights are held.

    Attributes:
        config: the network's shape.
        precision: as given.
    """

    def __init__(self, model: GPT2LMHeadModel, precision: Precision) -> None:
        self.config: GPT2Config = model.config
        self.precision = precision
        body = model.transformer
        self._tokens = body.wte.weight.detach()
        self._positions = body.wpe.weight.detach()
        pairs = [_packed_blocks(cast("Block", block), precision) for block in body.h]
        self._for_prompts = [for_prompts for for_prompts, _ in pairs]
        self._for_steps = [for_steps for _, for_steps in pairs]
        self._norm = _norm(body.ln_f)
        self._head = packed(model.lm_head.weight.detach(), None, precision)
        _give_up(model.lm_head)

    def hidden(self, tokens: Sequence[Placed], attend: Attend, *, prompt: bool = False) -> Tensor:
        """The normalised states of ``tokens`` after the last layer, (M, D).

        Args:
            tokens: M tokens with their positions.
            attend: what they look at.
            prompt: whether they are part of a prompt, always; for those other maps may be faster.
        """
        ids, positions = torch.tensor(tokens).unbind(1)
        x = self._tokens[ids].add_(self._positions[positions])  # (M, D)
        for layer, block in enumerate(self._for_prompts if prompt else self._for_steps):
            found = attend(layer, block.qkv(block.norm_1(x)))  # (M, D)
            x.add_(block.attended(found))
            x.add_(block.narrow(gelu(block.widen(block.norm_2(x)))))
        return self._norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, D) to (M, V)."""
        return self._head(hidden)


def gelu(x: Tensor) -> Tensor:
    """GELU, (M, n), of which no element depends on where the threads divide the work.

    Whole vectors are computed in another way than what is left over at the end of a thread's piece.
    So the threads are given pieces of equal length, of whole vectors each.
    """
    if x.numel() <= GELU_ELEMENTS:
        return F.gelu(x, approximate="tanh")
    every, done = x.flatten(), x.new_empty(x.numel())
    even = x.numel() - x.numel() % (WIDTH_STEP * torch.get_num_threads())
    for part in (slice(even), slice(even, None)):
        _gelu(every[part], approximate="tanh", out=done[part])
    return done.view_as(x)


def _packed_blocks(block: Block, precision: Precision) -> tuple[PackedBlock, PackedBlock]:
    """A layer for prompts, and for steps."""
    projections = block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj
    pairs = [_packed(projection, precision) for projection in projections]
    norms = _norm(block.ln_1), _norm(block.ln_2)
    for_prompts, for_steps = (PackedBlock(*norms, *maps) for maps in zip(*pairs, strict=True))
    return for_prompts, for_steps


def _packed(projection: Projection, precision: Precision) -> tuple[Map, Map]:
    """A projection for prompts, and for steps."""
    weight, bias = projection.weight.detach().T.contiguous(), projection.bias.detach()
    for_steps = packed(weight, bias, precision)
    for_prompts = packed_for_prompts(weight, bias, precision) or for_steps
    _give_up(projection)
    return for_prompts, for_steps


def _give_up(module: Projection | nn.Linear) -> None:
    """Let go of a weight's memory."""
    module.weight.data = torch.empty(0)


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach(), norm.bias.detach())

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

from midigpt.model.packing import Map, Precision, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from midigpt.model.gpt2 import Block, GPT2Config, GPT2LMHeadModel, Projection
    from midigpt.model.row import Placed

WIDTH_STEP = 32
"""What the width must be a multiple of: whole vectors, with nothing left for a scalar loop."""

GELU_ELEMENTS = 16384
"""From here on PyTorch cuts a GELU into one piece per thread, wherever that falls."""

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
    qkv: Map
    attended: Map
    norm_2: Norm
    widen: Map
    narrow: Map


class PackedNetwork:
    """A network's weights, packed; shared by decoders, and never changed.

    Args:
        model: the network, on the CPU. Its parameters are given up on the way, so that at no time
            the weights are there twice.
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
        self._blocks = [_packed_block(cast("Block", block), precision) for block in body.h]
        self._norm = _norm(body.ln_f)
        self._head = packed(model.lm_head.weight.detach().T, None, precision)
        _give_up(model.lm_head)

    def hidden(self, tokens: Sequence[Placed], attend: Attend) -> Tensor:
        """The normalised states of ``tokens`` after the last layer, (M, D)."""
        ids, positions = torch.tensor(tokens).unbind(1)
        x = self._tokens[ids].add_(self._positions[positions])  # (M, D)
        for layer, block in enumerate(self._blocks):
            found = attend(layer, block.qkv(block.norm_1(x)))  # (M, D)
            x.add_(block.attended(found))
            x.add_(block.narrow(gelu(block.widen(block.norm_2(x)))))
        return self._norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, D) to (M, V)."""
        return self._head(hidden)


def gelu(x: Tensor) -> Tensor:
    """GELU, (M, n), of which no element depends on where the threads divide the work."""
    if x.numel() <= GELU_ELEMENTS:
        return F.gelu(x, approximate="tanh")
    pieces = torch.split(x, max(1, GELU_ELEMENTS // x.shape[1]))
    return torch.cat([F.gelu(piece, approximate="tanh") for piece in pieces])


def _packed_block(block: Block, precision: Precision) -> PackedBlock:
    return PackedBlock(
        norm_1=_norm(block.ln_1),
        qkv=_packed(block.attn.c_attn, precision),
        attended=_packed(block.attn.c_proj, precision),
        norm_2=_norm(block.ln_2),
        widen=_packed(block.mlp.c_fc, precision),
        narrow=_packed(block.mlp.c_proj, precision),
    )


def _packed(projection: Projection, precision: Precision) -> Map:
    done = packed(projection.weight.detach(), projection.bias.detach(), precision)
    _give_up(projection)
    return done


def _give_up(module: Projection | nn.Linear) -> None:
    """Let go of a weight's memory."""
    module.weight.data = torch.empty(0)


def _norm(norm: nn.LayerNorm) -> Norm:
    return Norm(norm.weight.detach(), norm.bias.detach())

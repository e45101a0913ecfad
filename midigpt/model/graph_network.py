"""The network once more, with few kernels, for CUDA devices.

Reads like :mod:`midigpt.model.packed`: M tokens, of one row or of many, pass through together, and
only attention knows which belongs where. Nothing here waits for the device, so that all of it can
be captured. Weights, keys and values are of the type asked for; the stream that the layers add to,
the norms and the head are float32 in any case. That is little work, and with bf16 the likeliest
token is another than with float32 half as often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

if TYPE_CHECKING:
    from torch import nn

    from midigpt.model.gpt2 import Block, GPT2Config, GPT2LMHeadModel, Projection
    from midigpt.model.packing import Precision

Attend = Callable[[int, Tensor], Tensor]
"""Layer and (M, 3 D), queries, keys and values side by side, to what attention finds, (M, D)."""

DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}
"""Types of weights, keys and values."""


class Affine(NamedTuple):
    """A layer norm, or an affine map whose weight is stored output by input."""

    weight: Tensor
    bias: Tensor

    def map(self, x: Tensor) -> Tensor:
        """(M, n_in) to (M, n_out)."""
        return F.linear(x, self.weight, self.bias)

    def norm(self, x: Tensor) -> Tensor:
        """(M, D) to (M, D)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


class GraphBlock(NamedTuple):
    """One layer's weights."""

    norm_1: Affine
    qkv: Affine
    attended: Affine
    norm_2: Affine
    widen: Affine
    narrow: Affine


class GraphNetwork:
    """A network's weights as a device likes them best; shared by decoders, and never changed.

    Args:
        model: the network, on any device.
        precision: ``bf16`` or ``fp32``: the type of weights, keys and values.

    Attributes:
        config: the network's shape.
        precision: as given.
        device: where the weights lie.
    """

    def __init__(self, model: GPT2LMHeadModel, precision: Precision) -> None:
        self.config: GPT2Config = model.config
        self.precision = precision
        self.device = model.lm_head.weight.device
        self._dtype = DTYPES[precision]
        body = model.transformer
        self._tokens = body.wte.weight.detach()
        self._positions = body.wpe.weight.detach()
        self._blocks = [_block(cast("Block", block), self._dtype) for block in body.h]
        self._norm = _norm(body.ln_f)
        self._head = model.lm_head.weight.detach()

    def hidden(self, ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """The normalised states of tokens after the last layer: (M,) and (M,) to (M, D)."""
        x = self._tokens[ids] + self._positions[positions]  # (M, D)
        for layer, block in enumerate(self._blocks):
            found = attend(layer, block.qkv.map(block.norm_1.norm(x).to(self._dtype)))  # (M, D)
            x.add_(block.attended.map(found))
            wide = block.widen.map(block.norm_2.norm(x).to(self._dtype))  # (M, 4 D)
            x.add_(block.narrow.map(F.gelu(wide, approximate="tanh")))
        return self._norm.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(M, D) to (M, V), float32."""
        return F.linear(hidden, self._head)

    def memory(self, rows: int, capacity: int) -> Tensor:
        """Room for keys and values, all zero: (layers, 2, rows, H, capacity, d)."""
        config = self.config
        shape = (config.n_layer, 2, rows, config.n_head, capacity, config.head_dim)
        return torch.zeros(shape, dtype=self._dtype, device=self.device)


def _block(block: Block, dtype: torch.dtype) -> GraphBlock:
    return GraphBlock(
        norm_1=_norm(block.ln_1),
        qkv=_affine(block.attn.c_attn, dtype),
        attended=_affine(block.attn.c_proj, dtype),
        norm_2=_norm(block.ln_2),
        widen=_affine(block.mlp.c_fc, dtype),
        narrow=_affine(block.mlp.c_proj, dtype),
    )


def _affine(projection: Projection, dtype: torch.dtype) -> Affine:
    weight, bias = projection.weight.detach(), projection.bias.detach()
    return Affine(weight.to(dtype).T.contiguous(), bias.to(dtype))


def _norm(norm: nn.LayerNorm) -> Affine:
    return Affine(norm.weight.detach(), norm.bias.detach())

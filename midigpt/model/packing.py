"""Affine maps whose weights are packed once, in the order in which a CPU kernel reads them.

Every map here gives a row of its input the same result, bit for bit, however many other rows there
are. That is what lets rows be decoded together, prompts be read in pieces of any size and drafts be
verified, without a trace in the music.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

Map = Callable[[Tensor], Tensor]
"""An affine map of rows: (M, n_in) to (M, n_out), both float32."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""How the weights of matrix products are held; everything else is float32 but where it is said.

``fp32``: as they are. ``fp16``: rounded to float16; products and sums in float32. ``int8``: rounded
to 8 bits with one scale per output, the head to float16; inputs are rounded to 8 bits with one
scale per row, products are summed as integers. ``bf16``, on CUDA only: rounded to bfloat16, and so
are what they are multiplied by, the products, keys and values; sums are float32.
"""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""Those in which weights can be packed for a CPU."""

INT8_ROWS = 8
"""With fewer rows oneDNN has no fast kernel for some shapes, and is up to 200 times slower."""

TINY = torch.finfo(torch.float32).tiny


def packed(weight: Tensor, bias: Tensor | None, precision: Precision) -> Map:
    """The map ``x @ weight + bias``.

    Args:
        weight: float32, (n_in, n_out).
        bias: float32, (n_out,); int8 has to have one.
        precision: how the weights are held.

    Raises:
        RuntimeError: this build of PyTorch, or this CPU, has no such kernel.
        AttributeError: the same.
    """
    return _MAPS[precision](weight.T.contiguous(), bias)


def can_pack(precision: Precision) -> bool:
    """Whether this build of PyTorch has the kernels, and this CPU runs them."""
    try:
        packed(torch.zeros(32, 32), torch.zeros(32), precision)(torch.zeros(2, 32))
    except (RuntimeError, AttributeError):
        return False
    return True


def _fp32(weight: Tensor, bias: Tensor | None) -> Map:
    """Packed by oneDNN."""
    weights = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - the op's name
    linear = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001 - the op's name

    def apply(x: Tensor) -> Tensor:
        # a lone row takes a kernel of its own, whose sums are in another order
        padded = x.expand(2, -1).contiguous() if x.shape[0] == 1 else x
        y: Tensor = linear(padded, weights, bias, "none", [], "")
        return y[: x.shape[0]]

    return apply


def _fp16(weight: Tensor, bias: Tensor | None) -> Map:
    """Packed by fbgemm."""
    weights = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    # the operation itself: its wrapper looks through all arguments first, fifty times per token
    linear = torch.ops.quantized.linear_dynamic_fp16.default._op  # noqa: SLF001

    def apply(x: Tensor) -> Tensor:
        y: Tensor = linear(x, weights)
        return y

    return apply


def _int8(weight: Tensor, bias: Tensor | None) -> Map:
    """Packed by oneDNN, whose own scale and bias are not used: sums of integers are exact."""
    if bias is None:
        return _fp16(weight, bias)
    scale = weight.abs().amax(dim=1).clamp(min=TINY) / 127
    rounded = (weight / scale[:, None]).round().to(torch.int8)
    weights = torch.ops.onednn.qlinear_prepack(rounded, None)
    linear = torch.ops.onednn.qlinear_pointwise.default
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    plain: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")

    def apply(x: Tensor) -> Tensor:
        row_scale = x.abs().amax(dim=1, keepdim=True).clamp_(min=TINY).div_(127)
        rows = (x / row_scale).round_().to(torch.int8)
        if x.shape[0] < INT8_ROWS:
            rows = F.pad(rows, (0, 0, 0, INT8_ROWS - x.shape[0]))
        y: Tensor = linear(rows, 1.0, 0, weights, scale, zeros, *plain)
        return y[: x.shape[0]].mul_(row_scale).add_(bias)

    return apply


_MAPS: dict[Precision, Callable[[Tensor, Tensor | None], Map]] = {
    "fp32": _fp32,
    "fp16": _fp16,
    "int8": _int8,
}

"""Affine maps whose weights are packed once, in the order in which a CPU kernel reads them.

Every map here gives a row of its input the same result, bit for bit, however many other rows there
are. That is what lets rows be decoded together, prompts be read in pieces of any size and drafts be
verified, without a trace in the music.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from midigpt.model import fixed_point

Map = Callable[[Tensor], Tensor]
"""An affine map of rows: (M, n_in) to (M, n_out), both float32."""

Precision = Literal["fp32", "bf16", "fp16", "int8"]
"""How the weights of matrix products are held; everything else is float32 but where it is said.

``fp32``: as they are. ``fp16``: rounded to float16; products and sums in float32; but for prompts,
on CPUs that multiply tiles (AMX), rounded to 16 bits with one scale per output, and so are inputs
with one scale per row, and products are summed as integers. ``int8``: the same with 8 bits, for all
but the head, which is rounded to float16. ``bf16``, on CUDA only: rounded to bfloat16, and so are
what they are multiplied by, the products, keys and values; sums are float32.
"""

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
"""Those in which weights can be packed for a CPU."""


def packed(weight: Tensor, bias: Tensor | None, precision: Precision) -> Map:
    """The map ``x @ weight.T + bias``.

    Args:
        weight: float32, (n_out, n_in).
        bias: float32, (n_out,); int8 has to have one.
        precision: how the weights are held.

    Raises:
        RuntimeError: this build of PyTorch, or this CPU, has no such kernel.
        AttributeError: the same.
    """
    return _MAPS[precision](weight.contiguous(), bias)


def packed_for_prompts(weight: Tensor, bias: Tensor, precision: Precision) -> Map | None:
    """A map that is the faster one for many rows, where there is one. Arguments as above."""
    if precision == "fp16" and fixed_point.fast() and fixed_point.exact():
        return fixed_point.two_digits(weight.contiguous(), bias)
    return None


def can_pack(precision: Precision) -> bool:
    """Whether this build of PyTorch has the kernels, and this CPU runs them."""
    if precision == "int8" and not fixed_point.exact():
        return False
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
    """One digit for each number; the head, which has no bias, as float16."""
    return _fp16(weight, bias) if bias is None else fixed_point.one_digit(weight, bias)


_MAPS: dict[Precision, Callable[[Tensor, Tensor | None], Map]] = {
    "fp32": _fp32,
    "fp16": _fp16,
    "int8": _int8,
}

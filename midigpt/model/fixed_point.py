"""Affine maps of numbers written with one or two digits, each a signed byte, summed as integers.

Sums of integers are exact in any order. So whichever kernel oneDNN takes, a row's numbers do not
depend, bit for bit, on how many rows there are. What follows the sums, scales and the bias, is one
rounded operation after another, none of them fused with the next.
"""

from __future__ import annotations

import timeit
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from midigpt.model.device import at_most

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_DIGIT = 127
"""The largest number of one digit."""

BASE = 256

TWO_DIGITS = 127 * BASE
"""The largest number of two digits, less some that nobody misses: a round factor."""

LEAST_ROWS = 8
"""With fewer rows oneDNN has no fast kernel for some shapes, and is up to 200 times slower."""

TINY = torch.finfo(torch.float32).tiny

_LONG = 4096
"""Digits of the sums that are tried: more than a float could count."""

_SPREAD = 1.5 * 2**23 + BASE // 2
"""Added to a float of at most two digits, leaves it rounded, plus half a base, in the low 16 bits.

The sum lies between 2**23 and 2**24, where floats are whole numbers and count up bit by bit.
"""

_OFFSET = 128
"""From a signed byte to an unsigned one."""

_HOPELESS = 20
"""How many times longer than a product of floats one takes that has no kernel here, at least."""


def one_digit(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """A map of numbers of 8 bits, with one scale per row and per output.

    Args:
        weight: float32, (n_out, n_in).
        bias: float32, (n_out,).

    Raises:
        RuntimeError: this build of PyTorch has no such kernel.
        AttributeError: the same.
    """
    scale = _scale(weight, ONE_DIGIT)
    product = _product((weight / scale).round_().to(torch.int8), scale[:, 0])

    def apply(x: Tensor) -> Tensor:
        row_scale = _scale(x, ONE_DIGIT)
        rows = (x / row_scale).round_().to(torch.int8)
        missing = LEAST_ROWS - len(x)
        y = product(F.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows)
        return y[: len(x)].mul_(row_scale).add_(bias)

    return apply


def two_digits(weight: Tensor, bias: Tensor) -> Callable[[Tensor], Tensor]:
    """A map of numbers of 16 bits, with one scale per row and per output.

    A number is ``high * 256 + low``. Products of two low digits are left out: they are about as
    large as what rounding to 16 bits costs. What remains is two rows of digits for each row of
    numbers, against the same weights, (high, low) for each input: the row (low, high) counts 256
    times, the row (high, 0) 65536 times.

    Args:
        weight: float32, (n_out, n_in).
        bias: float32, (n_out,).
    """
    scale = _scale(weight, TWO_DIGITS)
    rounded = (weight / scale).round_().to(torch.int16).add_(BASE // 2)
    high, low = rounded >> 8, rounded ^ _OFFSET
    pairs = high.bitwise_and_(BASE - 1).bitwise_or_(low.bitwise_left_shift_(8))
    product = _product(pairs.view(torch.int8), scale[:, 0] * BASE)

    def apply(x: Tensor) -> Tensor:
        rows = len(x)
        row_scale = _scale(x, TWO_DIGITS)
        y = product(_digits(x * row_scale.reciprocal()))
        return y[:rows].add_(y[rows : 2 * rows], alpha=BASE).mul_(row_scale).add_(bias)

    return apply


@cache
def exact() -> bool:
    """Whether this build of PyTorch, on this CPU, sums digits without losing any."""
    ends = torch.tensor([-128, 127]).repeat_interleave(LEAST_ROWS)[:, None].expand(-1, _LONG)
    mixed = torch.arange(2 * LEAST_ROWS * _LONG).view(-1, _LONG) % 61 + 64
    digits = torch.cat((ends, mixed)).to(torch.int8)
    sums = (digits.long() @ digits.T.long()).float()
    try:
        found = _product(digits, torch.ones(len(digits)))(digits)
    except (RuntimeError, AttributeError):
        return False
    return torch.equal(found, sums)


@cache
def fast() -> bool:
    """Whether this CPU multiplies tiles of digits at once, and oneDNN has it do so.

    Without that, four products of digits take as long as one of floats, and those of signed rows
    run on a reference kernel that takes 1000 times longer. The CPU may have tiles that the system,
    or ``ONEDNN_MAX_CPU_ISA``, does not let oneDNN use: nothing tells but the time.
    """
    if not torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - no other way before PyTorch 2.13
        return False
    digits, floats = torch.ones(64, 256, dtype=torch.int8), torch.ones(64, 256)
    products = (
        partial(_product(digits, torch.ones(64), signed=True), digits),
        lambda: floats @ floats.T,
    )
    with at_most(1):
        ours, usual = (min(timeit.repeat(product, number=1, repeat=4)) for product in products)
    return ours < _HOPELESS * usual


def _scale(x: Tensor, largest: int) -> Tensor:
    """What divides each row, (M, n), so that it lies within ``largest``: (M, 1), never 0."""
    return x.abs().amax(dim=1, keepdim=True).div_(largest).clamp_(min=TINY)


def _digits(x: Tensor) -> Tensor:
    """Rows (low, high) and rows (high, 0) of digits, (2 M or more, 2 n_in), which ``x`` rounds to.

    Args:
        x: (M, n_in), of two digits at most; taken apart.
    """
    rows, width = x.shape
    pairs = torch.empty(max(2 * rows, LEAST_ROWS), width, dtype=torch.int16)
    both, high = pairs[:rows], pairs[rows : 2 * rows]
    both.copy_(x.add_(_SPREAD).view(torch.int32))
    torch.bitwise_right_shift(both, 8, out=high).bitwise_and_(BASE - 1)
    both.bitwise_xor_(_OFFSET)
    return pairs.view(torch.int8)


def _product(
    weights: Tensor, scale: Tensor, *, signed: bool | None = None
) -> Callable[[Tensor], Tensor]:
    """From digits, (M, n), to their sums with the weights' times ``scale``, float32, (M, n_out).

    Args:
        weights: digits, (n_out, n).
        scale: one per output, (n_out,).
        signed: whether the kernel is given rows of signed digits; None for what is fast here.
    """
    packed = torch.ops.onednn.qlinear_prepack(weights, None)
    # the operation itself: its wrapper looks through all arguments first
    linear = torch.ops.onednn.qlinear_pointwise.default._op  # noqa: SLF001
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    plain: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")
    signed = fast() if signed is None else signed
    zero = 0 if signed else _OFFSET

    def apply(digits: Tensor) -> Tensor:
        rows = digits if signed else digits.view(torch.uint8).bitwise_xor(_OFFSET)
        y: Tensor = linear(rows, 1.0, zero, packed, scale, zeros, *plain)
        return y

    return apply

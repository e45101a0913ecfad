"""From logits to one drawn token per row.

Every tensor here has shape (B, V): one line per row of the batch, one column per token. Rows never
influence each other.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import pack
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_TEMPERATURE = 1e-38
"""The smallest temperature that is still a float32; below it sampling is the argmax anyway."""


def probabilities(logits: Tensor, legal: Tensor, temperatures: Tensor) -> Tensor:
    """Softmax of ``logits / temperature`` over the legal tokens.

    The largest logit is subtracted before the division, so that a temperature towards 0 tends to
    the argmax. A row whose logits are not numbers (a damaged network) becomes uniform.

    Args:
        logits: float32, (B, V).
        legal: bool, (B, V); at least one True per row.
        temperatures: float32, (B, 1), above 0.
    """
    probs = softened(logits, legal, temperatures)
    if not bool(torch.isfinite(probs).all()):
        uniform = legal / legal.sum(dim=1, keepdim=True)
        probs = torch.where(torch.isfinite(probs).all(dim=1, keepdim=True), probs, uniform)
    return probs


def softened(logits: Tensor, legal: Tensor, temperatures: Tensor) -> Tensor:
    """The same, but that a row may become no numbers, and that nobody waits for a device."""
    masked = logits.masked_fill(~legal, -torch.inf)
    centred = masked - masked.amax(dim=1, keepdim=True)
    return torch.softmax(centred / temperatures.clamp(min=MIN_TEMPERATURE), dim=1)


def reweight(probs: Tensor, weights: Tensor) -> Tensor:
    """Multiply by ``weights``, (V,) or (B, V), and renormalise; an empty row stays as it was."""
    product = probs * weights
    total = product.sum(dim=1, keepdim=True)
    return torch.where(total > 0, product / total, probs)


class Limits(NamedTuple):
    """How a distribution is cut down: numbers, or tensors (B, 1) with one for each row.

    Attributes:
        top_k: keep only this many of the likeliest tokens.
        top_p: keep the likeliest tokens that together reach this probability.
        mask_k: drop what may be dropped among this many of the likeliest.
        mask_p: the same among the likeliest that together reach this probability.
    """

    top_k: float | Tensor
    top_p: float | Tensor
    mask_k: float | Tensor
    mask_p: float | Tensor


def cut(probs: Tensor, droppable: Tensor, limits: Limits) -> Tensor:
    """Drop tokens and renormalise; where nothing would be left, the row stays as it is.

    Of equally likely tokens the one with the lower id counts as the likelier.

    Args:
        probs: float32, (B, V).
        droppable: which tokens the masks may drop; bool, (V,) or (B, V).
        limits: ``top_k`` and ``top_p`` look at the whole distribution, the masks at what they left.
    """
    ranked, order = probs.sort(dim=1, descending=True, stable=True)
    rank = torch.arange(ranked.shape[1], device=ranked.device)
    unlikely = (rank >= limits.top_k) | (_mass_before(ranked) >= limits.top_p)
    # the likeliest stays, as if top_p were above 0, if single precision makes zero of it
    kept = _normalised(ranked.masked_fill(unlikely & (rank > 0), 0))
    left = (kept > 0).sum(dim=1, keepdim=True)
    obvious = (rank < limits.mask_k) & (left > limits.mask_k)
    obvious |= (_mass_before(kept) < limits.mask_p) & (rank < left - 1)
    varied = kept.masked_fill(obvious & droppable.expand_as(order).gather(1, order), 0)
    nothing = varied.sum(dim=1, keepdim=True) == 0
    result = _normalised(torch.where(nothing, ranked, varied))
    return torch.empty_like(probs).scatter_(1, order, result)


def _mass_before(ranked: Tensor) -> Tensor:
    """The probability of everything ranked before each token."""
    return functional.pad(ranked.cumsum(dim=1)[:, :-1], (1, 0))


def _normalised(probs: Tensor) -> Tensor:
    return probs / probs.sum(dim=1, keepdim=True)


def uniform(seed: int, step: int, attempt: int, position: int) -> float:
    """The random number in [0, 1) that belongs to one place of one generation.

    A pure function (53 bits of a BLAKE2 hash), so a draw depends on nothing that ran before or
    runs beside it.

    Args:
        seed: the request's seed plus the index of the candidate; taken modulo 2**64.
        step: index of the step within the run.
        attempt: index of the attempt within the step.
        position: number of tokens sampled before this one in the attempt.
    """
    place = pack("<QIIQ", seed % 2**64, step, attempt, position)
    return (int.from_bytes(blake2b(place, digest_size=8).digest(), "little") >> 11) * 2.0**-53


def draw(probs: Tensor, numbers: Sequence[float]) -> list[int]:
    """One token per row: the first whose cumulative probability exceeds the row's number.

    Summed in float64 and vocabulary order. Each number is in [0, 1), and
    each row has a token with a probability above 0.
    """
    tokens: list[int] = drawn(probs, torch.tensor(numbers, dtype=torch.float64)).tolist()
    return tokens


def drawn(probs: Tensor, numbers: Tensor) -> Tensor:
    """The same on the device of ``probs``: (B,), float64, to (B,)."""
    cumulative = probs.to(torch.float64).cumsum(dim=1)
    total = cumulative[:, -1:]
    # a number next to 1 times the total may round up to the total, which nothing exceeds
    below = torch.nextafter(total, torch.zeros_like(total))
    targets = torch.minimum(numbers.unsqueeze(1) * total, below)
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1)

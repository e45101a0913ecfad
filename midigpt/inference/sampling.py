"""From logits to one drawn token per row.

Every tensor here has shape (B, V): one line per row of the batch, one column per token. Rows never
influence each other.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import pack
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

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
    masked = logits.masked_fill(~legal, -torch.inf)
    centred = masked - masked.amax(dim=1, keepdim=True)
    probs = torch.softmax(centred / temperatures.clamp(min=MIN_TEMPERATURE), dim=1)
    if not bool(torch.isfinite(probs).all()):
        uniform = legal / legal.sum(dim=1, keepdim=True)
        probs = torch.where(torch.isfinite(probs).all(dim=1, keepdim=True), probs, uniform)
    return probs


def reweight(probs: Tensor, weights: Tensor) -> Tensor:
    """Multiply by ``weights`` (V,) and renormalise; rows where nothing would be left stay."""
    product = probs * weights
    total = product.sum(dim=1, keepdim=True)
    return torch.where(total > 0, product / total, probs)


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
    cumulative = probs.to(torch.float64).cumsum(dim=1)
    total = cumulative[:, -1:]
    targets = torch.tensor(numbers, dtype=torch.float64).unsqueeze(1) * total
    # a number next to 1 times the total may round up to the total, which nothing exceeds
    targets = torch.minimum(targets, torch.nextafter(total, torch.zeros_like(total)))
    tokens: list[int] = torch.searchsorted(cumulative, targets, right=True).squeeze(1).tolist()
    return tokens

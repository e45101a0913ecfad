"""What attention looks at, for the graph decoder: a prompt being read, or lanes taking a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from midigpt.model.gpt2 import attention_weights, visible_keys

if TYPE_CHECKING:
    from midigpt.model.gpt2 import GPT2Config


class Stepping:
    """Attention of a new token for each of B lanes; leaves keys and values in their places.

    Args:
        config: the network's shape.
        memory: (layers, 2, B, H, capacity, d).
        bucket: how many keys to look at; those behind a token's own place are masked.
        places: where the tokens go, (B,).
    """

    def __init__(self, config: GPT2Config, memory: Tensor, bucket: int, places: Tensor) -> None:
        self._shape = (-1, 3, config.n_head, config.head_dim)
        self._near = memory[..., :bucket, :]
        self._by_place = memory.permute(0, 2, 4, 1, 3, 5)  # (layers, B, capacity, 2, H, d)
        self._where = torch.arange(len(places), device=places.device), places
        later = torch.arange(bucket, device=places.device) > places[:, None]  # (B, N)
        # as a sum: of a mask, attention would make one in every layer
        bias = torch.zeros(later.shape, dtype=memory.dtype, device=memory.device)
        self._bias = bias.masked_fill(later, -torch.inf)[:, None, None]  # (B, 1, 1, N)

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(B, 3 D) to (B, D)."""
        split = qkv.view(self._shape)  # (B, 3, H, d)
        self._by_place[layer].index_put_(self._where, split[:, 1:])
        keys, values = self._near[layer].unbind()  # (B, H, N, d)
        q = split[:, 0, :, None]  # (B, H, 1, d)
        found = F.scaled_dot_product_attention(q, keys, values, attn_mask=self._bias)
        return found.flatten(1)


class Reading:
    """Attention of the next tokens of a prompt; leaves their keys and values behind the others.

    Args:
        config: the network's shape.
        memory: one row's, (layers, 2, H, capacity, d).
        begin: how many tokens it holds.
        new: how many come.
    """

    def __init__(self, config: GPT2Config, memory: Tensor, begin: int, new: int) -> None:
        self._shape = (-1, 3, config.n_head, config.head_dim)
        self._memory = memory[..., : begin + new, :]
        self._begin = begin
        self._visible = visible_keys(new, begin + new, None, memory.device)

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(M, 3 D) to (M, D)."""
        split = qkv.view(self._shape).permute(1, 2, 0, 3)  # (3, H, M, d)
        pair = self._memory[layer]  # (2, H, N, d)
        pair[:, :, self._begin :] = split[1:]
        keys, values = pair[:, None].unbind()
        found = F.scaled_dot_product_attention(split[:1], keys, values, attn_mask=self._visible)
        return found[0].transpose(0, 1).flatten(1)


class LookingBack:
    """Attention of one token over the held ones, in float32; leaves no trace.

    Args:
        config: the network's shape.
        memory: one row's, (layers, 2, H, capacity, d).
        count: how many tokens it holds.

    Attributes:
        weights: per layer how much each of them got, (H, count).
    """

    def __init__(self, config: GPT2Config, memory: Tensor, count: int) -> None:
        self.weights: list[Tensor] = []
        self._shape = (3, config.n_head, 1, config.head_dim)
        self._memory = memory[..., :count, :]

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(1, 3 D) to (1, D); zero where there is nothing to see."""
        keys, values = self._memory[layer].float()  # (H, count, d)
        weights = attention_weights(qkv.view(self._shape)[0].float(), keys, None)  # (H, 1, count)
        self.weights.append(weights[:, 0])
        found: Tensor = weights @ values  # (H, 1, d)
        return found.view(1, -1).to(qkv.dtype)

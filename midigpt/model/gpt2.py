"""The network, from token ids to logits, in reading order.

A pre-norm GPT-2 with learned positions and a head of its own. Shapes in the comments:
B rows, T new tokens, N = cached + new tokens, D = ``n_embd``, H heads of width d = D / H,
V = ``vocab_size``. The attribute names are those of the published checkpoints' tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

KVCache = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of earlier tokens: one pair per layer, each (B, H, length, d)."""

Hook = Callable[..., Any]


@dataclass(frozen=True)
class GPT2Config:
    """The five numbers that fix the network's shape.

    Attributes:
        vocab_size: number of tokens.
        n_positions: longest context, in tokens.
        n_embd: width of the hidden state.
        n_layer: number of blocks.
        n_head: attention heads per block; divides ``n_embd``.
    """

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head


class KeyValueStore(Protocol):
    """Where a forward pass leaves the keys and values of its tokens and finds the earlier ones."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Take a layer's new pair, (B, H, T, d) each; return the whole pair, (B, H, N, d) each."""


class Projection(nn.Module):
    """An affine map whose weight is stored input by output, as in the original GPT-2."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_in) to (B, T, n_out)."""
        return x @ self.weight + self.bias


class Attention(nn.Module):
    """Causal self-attention over the cached and the new tokens."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_head = config.n_head
        self.head_dim = config.head_dim
        self.c_attn = Projection(config.n_embd, 3 * config.n_embd)
        self.c_proj = Projection(config.n_embd, config.n_embd)

    def forward(
        self, x: Tensor, store: KeyValueStore, visible: Tensor | None, watch: Hook | None
    ) -> Tensor:
        """(B, T, D) to (B, T, D); ``watch`` is called with (layer, weights (B, H, T, N))."""
        rows, new, width = x.shape
        q, k, v = (
            part.view(rows, new, self.n_head, self.head_dim).transpose(1, 2)  # (B, H, T, d)
            for part in self.c_attn(x).split(width, dim=-1)
        )
        k, v = store.append(self.layer, k, v)  # (B, H, N, d)
        if watch is not None:
            watch(self.layer, attention_weights(q, k, visible))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)  # (B, H, T, d)
        if visible is not None:
            # A query that sees no key attends to nothing; kernels disagree about such rows.
            y = y.masked_fill(~visible.any(dim=-1, keepdim=True), 0.0)
        merged = y.transpose(1, 2).reshape(rows, new, width)  # (B, T, D)
        out: Tensor = self.c_proj(merged)
        return out


class MLP(nn.Module):
    """The position-wise part of a block."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Projection(config.n_embd, 4 * config.n_embd)
        self.c_proj = Projection(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """One layer: attention, then the MLP, each added to the stream."""

    def __init__(self, config: GPT2Config, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(
        self, x: Tensor, store: KeyValueStore, visible: Tensor | None, watch: Hook | None
    ) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        x = x + self.attn(self.ln_1(x), store, visible, watch)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    """Everything below the head: embeddings, blocks, final norm."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        store: KeyValueStore,
        visible: Tensor | None = None,
        hooks: Mapping[str, Hook] | None = None,
    ) -> Tensor:
        """Run the blocks over ``input_ids`` (B, T); the ids and positions are not checked.

        Args:
            input_ids: token ids.
            position_ids: rows of ``wpe``, broadcastable to (B, T).
            store: keys and values of the earlier tokens; takes those of the new ones.
            visible: which keys each query may look at, broadcastable to (B, H, T, N); None: all.
            hooks: as for :meth:`GPT2LMHeadModel.forward_with_hooks`.

        Returns:
            The normalised hidden states, (B, T, D).
        """
        hooks = hooks or {}
        x: Tensor = self.wte(input_ids) + self.wpe(position_ids)  # (B, T, D)
        for layer, block in enumerate(self.h):
            x = block(x, store, visible, hooks.get("attn"))
            if "hidden" in hooks:
                hooks["hidden"](layer, x)
        out: Tensor = self.ln_f(x)
        return out


class GPT2LMHeadModel(nn.Module):
    """The network with its head: token ids in, logits of the next token out."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(
        self,
        input_ids: Tensor,
        past_kv: KVCache | None = None,
        key_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, KVCache]:
        """Logits after each new token, and the grown cache.

        The cache given is left as it was, so that several continuations may start from one.

        Args:
            input_ids: int64 (B, T); T may be 0.
            past_kv: the cache of an earlier call; None or empty: no earlier tokens. A cache of one
                row serves any number of rows.
            key_mask: bool, True = visible, one entry per cached and new token: (N), (1, N) or
                (B, N). Hides a token from every query, its own included. A query that sees
                nothing gets an attention output of zero.
            position_ids: rows of the position table, (T), (1, T) or (B, T); by default the new
                tokens follow the cached ones.

        Returns:
            Logits (B, T, V), and the keys and values of all N tokens, hidden ones included.

        Raises:
            IndexError: a token outside the vocabulary or a position outside the context.
            RuntimeError: ``key_mask`` has another length than N.
            TypeError: ``key_mask`` is not of type bool.
        """
        logits, cache, _ = self.forward_with_hooks(input_ids, past_kv, {}, key_mask, position_ids)
        return logits, cache

    def forward_with_hooks(
        self,
        input_ids: Tensor,
        past_kv: KVCache | None,
        hooks: Mapping[str, Hook],
        key_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, KVCache, dict[str, list[Any]]]:
        """As :meth:`forward`, showing the inner states to ``hooks`` on the way.

        Hooks are any of ``"attn"``, called with (layer, weights (B, H, T, N)) in each block;
        ``"hidden"``, called with (layer, x (B, T, D)) after each block; and ``"logits"``, called
        with the logits.

        Returns:
            Logits, cache, and for each hook what it returned, in call order.
        """
        seen: dict[str, list[Any]] = {name: [] for name in hooks}

        def recorder(name: str) -> Hook:
            return lambda *args: seen[name].append(hooks[name](*args))

        recorders = {name: recorder(name) for name in hooks}
        store = _Concatenation(past_kv)
        cached, new = store.length, input_ids.shape[1]
        if position_ids is None:
            position_ids = torch.arange(cached, cached + new, device=input_ids.device)
        _check_range("token", input_ids, self.config.vocab_size)
        _check_range("position", position_ids, self.config.n_positions)
        visible = visible_keys(new, cached + new, key_mask, input_ids.device)
        x = self.transformer(input_ids, position_ids, store, visible, recorders)  # (B, T, D)
        logits: Tensor = self.lm_head(x)  # (B, T, V)
        if "logits" in recorders:
            recorders["logits"](logits)
        return logits, tuple(store.layers), seen


class _Concatenation:
    """A key-value store that copies: what was handed in stays as it is."""

    def __init__(self, past: KVCache | None) -> None:
        self._past = past or ()
        self.length = self._past[0][0].shape[2] if self._past else 0
        self.layers: list[tuple[Tensor, Tensor]] = []

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self._past:
            rows = keys.shape[0]
            old_keys, old_values = self._past[layer]
            keys = torch.cat((old_keys.expand(rows, -1, -1, -1), keys), dim=2)
            values = torch.cat((old_values.expand(rows, -1, -1, -1), values), dim=2)
        self.layers.append((keys, values))
        return keys, values


def visible_keys(
    new: int, total: int, key_mask: Tensor | None, device: torch.device
) -> Tensor | None:
    """Which of ``total`` keys each of the last ``new`` tokens may look at; None: all of them.

    Bool, broadcastable to (B, H, T, N).
    """
    causal = torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)  # (T, N)
    if key_mask is None:
        return causal if new > 1 else None
    if key_mask.dtype != torch.bool:
        raise TypeError(f"key_mask must be of type bool, got {key_mask.dtype}")
    if key_mask.shape[-1] != total:
        raise RuntimeError(f"key_mask must have {total} entries, got {key_mask.shape[-1]}")
    return causal & key_mask[..., None, None, :]


def attention_weights(q: Tensor, k: Tensor, visible: Tensor | None) -> Tensor:
    """How much each query attends to each key, (B, H, T, N); all zero where it sees none."""
    scores: Tensor = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, N)
    if visible is None:
        return scores.softmax(dim=-1)
    weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
    return weights.masked_fill(~visible, 0.0)


def _check_range(what: str, ids: Tensor, size: int) -> None:
    """Refuse ids outside ``0..size-1`` here: on an accelerator the lookup would bring it down."""
    if ids.numel() and not (ids.min() >= 0 and ids.max() < size):
        raise IndexError(f"{what} ids must lie in 0..{size - 1}")

"""What attention looks at, for the packed network: a prompt being read, or rows taking a step.

A matrix product over the keys gives each of its queries the same numbers whatever the others are,
and however many: but for a lone query, and for products so small that PyTorch takes another kernel,
the sums are in another order. So a query of a prompt is asked in its place in a block of fixed size
on a fixed grid, and a query of a row never alone for the prompt, which it may share with others,
and always alone for what was sampled after it.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from midigpt.model.gpt2 import GPT2Config
    from midigpt.model.prefix import Prefix, Tails

GRID = 64
"""Queries per block of a prompt, and the step in which the keys they are shown grow."""

MANY = 16
"""The most queries that share a product over a prompt."""

SMALL = 400
"""Below so many multiplications PyTorch takes a kernel for small products."""


class Reading:
    """Attention of the next tokens of a prompt; leaves their keys and values in the prefix.

    Args:
        config: the network's shape.
        prefix: holds the tokens before; has room for the new ones.
        new: how many tokens come.
    """

    def __init__(self, config: GPT2Config, prefix: Prefix, new: int) -> None:
        self._shape = (-1, 3, config.n_head, config.head_dim)
        self._scale = torch.tensor(1 / math.sqrt(config.head_dim))
        self._prefix = prefix
        self._begin = len(prefix.held)
        self._end = self._begin + new
        self._causal = torch.full((GRID, GRID), -torch.inf).triu(1)
        self._asked = torch.zeros(GRID, config.n_head, config.head_dim)

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(M, 3 D) to (M, D)."""
        q, k, v = qkv.view(self._shape).unbind(1)  # (M, H, d)
        begin, end = self._begin, self._end
        self._prefix.keys[layer, ..., begin:end] = k.permute(1, 2, 0)
        self._prefix.values[layer, :, begin:end] = v.transpose(0, 1)
        found = torch.empty_like(q)
        for first in range(begin // GRID * GRID, end, GRID):
            start, stop = max(first, begin), min(first + GRID, end)
            there, here = slice(start - first, stop - first), slice(start - begin, stop - begin)
            torch.mul(q[here], self._scale, out=self._asked[there])
            found[here] = self._block(layer, first + GRID)[there]
        return found.flatten(1)

    def _block(self, layer: int, seen: int) -> Tensor:
        """What a block's queries find in the first ``seen`` keys, their own last, (GRID, H, d)."""
        keys = self._prefix.keys[layer, ..., :seen]  # (H, d, seen)
        scores = torch.bmm(self._asked.transpose(0, 1), keys)  # (H, GRID, seen)
        scores[..., -GRID:] += self._causal
        found = torch.bmm(scores.softmax(dim=-1), self._prefix.values[layer, :, :seen])
        return found.transpose(0, 1)


class LookingBack:
    """Attention of one token over the first tokens of a prefix; leaves no trace.

    Args:
        config: the network's shape.
        prefix: what it looks at.
        count: how many of its tokens.
        watch: told the layer and its weights, (H, count).
    """

    def __init__(
        self,
        config: GPT2Config,
        prefix: Prefix,
        count: int,
        watch: Callable[[int, Tensor], None] = lambda *_: None,
    ) -> None:
        self._shape = (3, config.n_head, 1, config.head_dim)
        self._scale = 1 / math.sqrt(config.head_dim)
        self._prefix = prefix
        self._count = count
        self._watch = watch

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(1, 3 D) to (1, D); zero where there is nothing to see."""
        q = qkv.view(self._shape)[0]  # (H, 1, d)
        scores = torch.bmm(q, self._prefix.keys[layer, ..., : self._count]).mul_(self._scale)
        weights = scores.softmax(dim=-1)  # (H, 1, count)
        self._watch(layer, weights[:, 0])
        return torch.bmm(weights, self._prefix.values[layer, :, : self._count]).view(1, -1)


class Query(NamedTuple):
    """One row's place in a step.

    Attributes:
        prefix: its prompt.
        seen: how many tokens of that it sees.
        slot: where its tail lies.
        tail: tokens in the tail, the new one included.
        position: position of that.
    """

    prefix: Prefix
    seen: int
    slot: int
    tail: int
    position: int

    @property
    def prompt(self) -> tuple[int, int]:
        """Equal for queries that see the same of the same prompt."""
        return id(self.prefix), self.seen


class Stepping:
    """Attention of one new token for each of several rows; leaves keys and values in their tails.

    Args:
        config: the network's shape.
        queries: the rows, in the order of ``prompt``, ``tail`` and ``slot``.
        tails: what was sampled after the prompts; has room for the new tokens.
    """

    def __init__(self, config: GPT2Config, queries: Sequence[Query], tails: Tails) -> None:
        self._shape = (-1, 3, config.n_head, config.head_dim)
        self._groups = [
            (first, last, _Group(config, queries[first:last], tails))
            for first, last in _sharing(queries)
        ]

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        """(M, 3 D) to (M, D)."""
        split = qkv.view(self._shape)  # (M, 3, H, d)
        if len(self._groups) == 1:
            return self._groups[0][2](layer, split)
        return torch.cat([group(layer, split[first:last]) for first, last, group in self._groups])


class _Group:
    """Rows that share a prompt: n rows, N keys of the prompt.

    All that layers have in common is prepared: with a row or two, finding and shaping memory takes
    as long as the sums.
    """

    def __init__(self, config: GPT2Config, queries: Sequence[Query], tails: Tails) -> None:
        rows, heads, width = len(queries), config.n_head, config.head_dim
        prefix, self._seen, *_ = queries[0]
        padded = max(rows, 2, -(-SMALL // max(1, self._seen * width)))
        self._scale = torch.tensor(1 / math.sqrt(width))
        asked = torch.zeros(padded, heads, width)
        scores = torch.empty(heads, padded, self._seen)
        weights = torch.zeros(padded, heads, self._seen)
        found = torch.empty(heads, padded, width)
        self._asked = asked[:rows]
        self._far = _Product(
            *prefix.views(self._seen), asked.transpose(0, 1), scores, weights.transpose(0, 1), found
        )
        self._far_found = found[:, :rows].transpose(0, 1)
        self._found = torch.empty(rows, heads, width)
        self._runs = [
            (
                slice(first, last),
                _Run(
                    self._seen,
                    queries[first:last],
                    tails,
                    self._asked[first:last],
                    scores[:, first:last].transpose(0, 1),
                    weights[first:last],
                    self._found[first:last],
                ),
            )
            for first, last in _neighbours(queries)
        ]

    def __call__(self, layer: int, split: Tensor) -> Tensor:
        """(n, 3, H, d) to (n, D), valid until the next call."""
        torch.mul(split.select(1, 0), self._scale, out=self._asked)
        if self._seen:
            self._far.score(layer)
        for rows, run in self._runs:
            run(layer, split[rows])
        if self._seen:
            self._far.collect(layer)
            self._found.add_(self._far_found)
        return self._found.flatten(1)


class _Run:
    """Rows of a group in neighbouring slots, with tails of equal length: m rows, T of each tail.

    Args:
        seen: N keys of the prompt.
        queries: the rows.
        tails: holds their tails.
        asked: queries, scaled, (m, H, d).
        far_scores: what products with the prompt's keys gave, (m, H, N).
        far_weights: takes what the softmax makes of them, (m, H, N).
        found: takes the sums of the tails' values, (m, H, d).
    """

    def __init__(
        self,
        seen: int,
        queries: Sequence[Query],
        tails: Tails,
        asked: Tensor,
        far_scores: Tensor,
        far_weights: Tensor,
        found: Tensor,
    ) -> None:
        many, slot, tail = len(queries), queries[0].slot, queries[0].tail
        heads, width = asked.shape[1:]
        self._new = tails.places(slot, many, tail - 1)
        self._scores = torch.empty(many, heads, seen + tail)
        self._weights = torch.empty(many, heads, seen + tail)
        near = torch.empty(many * heads, 1, tail)
        self._near = _Product(
            *tails.views(slot, many, tail),
            asked.view(-1, 1, width),
            near,
            self._weights.view(-1, 1, seen + tail)[..., seen:],
            found.view(-1, 1, width),
        )
        self._all_scores = [far_scores, near.view(many, heads, tail)]
        self._far_weights = far_weights, self._weights[..., :seen]

    def __call__(self, layer: int, split: Tensor) -> None:
        """Take (m, 3, H, d)."""
        self._new[layer].copy_(split.narrow(1, 1, 2))
        self._near.score(layer)
        torch.cat(self._all_scores, -1, out=self._scores)
        torch.softmax(self._scores, -1, out=self._weights)
        target, source = self._far_weights
        target.copy_(source)
        self._near.collect(layer)


class _Product(NamedTuple):
    """The two products of attention over one memory, for B heads, of one row or of all of them.

    Attributes:
        keys: per layer (B, d, N).
        values: per layer (B, N, d).
        asked: queries, scaled, (B, n, d).
        scores: takes products with keys, (B, n, N).
        weights: what the softmax makes of them, (B, n, N).
        found: takes sums of values, (B, n, d).
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    asked: Tensor
    scores: Tensor
    weights: Tensor
    found: Tensor

    def score(self, layer: int) -> None:
        torch.bmm(self.asked, self.keys[layer], out=self.scores)

    def collect(self, layer: int) -> None:
        torch.bmm(self.weights, self.values[layer], out=self.found)


def _sharing(queries: Sequence[Query]) -> Iterator[tuple[int, int]]:
    """First and last of up to ``MANY`` queries that share a prompt."""
    first = 0
    for _, same in groupby(queries, key=lambda query: query.prompt):
        last = first + len(list(same))
        for start in range(first, last, MANY):
            yield start, min(start + MANY, last)
        first = last


def _neighbours(queries: Sequence[Query]) -> Iterator[tuple[int, int]]:
    """First and last of queries in neighbouring slots, with tails of equal length."""
    first = 0
    for index in range(1, len(queries) + 1):
        before = queries[index - 1]
        following = (before.slot + 1, before.tail)
        if index == len(queries) or (queries[index].slot, queries[index].tail) != following:
            yield first, index
            first = index

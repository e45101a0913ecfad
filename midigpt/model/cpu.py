"""The decoder for the CPU: packed weights, shared prompts, rows that go through together."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from midigpt.model.attending import LookingBack, Query, Reading, Stepping
from midigpt.model.decoder import Decoder, check_prompt, check_rewind, check_room, check_tokens
from midigpt.model.prefix import Prefix, Tails
from midigpt.model.row import CHUNK, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from midigpt.model.packed import PackedNetwork

_NO_SLOT = -1

LOOKAHEAD = 2

WIDE = 384
"""Below this width threads wait for each other about as long as they compute.

Two save a sixth of a step of the built-in model, and cost three times as much as one where another
program wants a core.
"""


@dataclass(slots=True, eq=False)
class _Row:
    """A row: the first tokens of a prefix, then a tail.

    Attributes:
        prefix: the prompt's keys and values.
        count: how many of its tokens belong to this row.
        length: position of the next token.
        prompt: the last prompt, while the row still begins with all of it.
        logits: those after ``prompt``.
        slot: where the tail lies, if there is one.
        tail: how many tokens it has.
    """

    prefix: Prefix
    count: int = 0
    length: int = 0
    prompt: Prompt | None = None
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    slot: int = _NO_SLOT
    tail: int = 0


class PackedDecoder(Decoder):
    """Runs a packed network.

    Rows that were forked share the memory of their prompt, and a prompt is read from the first
    token that no row holds. A row's numbers do not depend on any of that.

    Args:
        network: the weights; any number of decoders may use them.
    """

    def __init__(self, network: PackedNetwork) -> None:
        self.vocab_size = network.config.vocab_size
        self.context = network.config.n_positions
        self.precision = network.precision
        self.lookahead = LOOKAHEAD
        self.threads = 0 if network.config.n_embd >= WIDE else 1
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self._network = network
        self._tails = Tails(network.config)
        self._rows: dict[int, _Row] = {}

    @property
    def cache_bytes(self) -> int:
        """Memory of all keys and values."""
        prefixes = {id(row.prefix): row.prefix for row in self._rows.values()}
        return self._tails.nbytes + sum(prefix.nbytes for prefix in prefixes.values())

    @override
    @torch.inference_mode()
    def prefill(
        self,
        row: int,
        tokens: Sequence[int],
        hidden: Sequence[tuple[int, int]] = (),
        check: Callable[[], None] | None = None,
    ) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        prompt = Prompt.of(tokens, hidden)
        self.prompt_tokens += len(prompt.visible)
        held = self._holding(row, prompt)
        self.reused_tokens += held.count
        if held.prompt is None:
            logits = self._read(held, prompt, check)
            held.length, held.prompt, held.logits = len(tokens), prompt, logits
        return held.logits.clone()

    @override
    @torch.inference_mode()
    def attention(self, tokens: Sequence[int], hidden: Sequence[tuple[int, int]] = ()) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        prompt, row = Prompt.of(tokens, hidden), _Row(Prefix(self._network.config))
        if prompt.visible:
            self._read(row, prompt, None)
        seen: list[Tensor] = []
        self._look_back(row, prompt, lambda _, weights: seen.append(weights))
        upper = torch.stack(seen[self._network.config.n_layer // 2 :])  # (layers, H, N)
        scores = torch.zeros(len(tokens))
        scores[[position for _, position in prompt.visible]] = upper.mean(dim=1).sum(dim=0)
        return scores

    @override
    @torch.inference_mode()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        row = _Row(Prefix(self._network.config))
        pieces = self._pieces(row, Prompt.of(tokens, ()), None)
        return torch.cat([self._network.logits(piece) for piece in pieces])

    @override
    @torch.inference_mode()
    def fork(self, source: int, rows: Sequence[int]) -> None:
        held = self._rows[source]
        for row in rows:
            if row != source:
                self._free(row)
                self._rows[row] = self._twin(held)

    @override
    @torch.inference_mode()
    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        pairs = list(zip((self._rows[row] for row in rows), tokens, strict=True))
        check_tokens(tokens, self.vocab_size)
        check_room([row.length for row, _ in pairs], rows, self.context)
        if not pairs:
            return torch.empty(0, self.vocab_size)
        queries = [self._next(row) for row, _ in pairs]
        order = sorted(
            range(len(pairs)),
            key=lambda index: (queries[index].prompt, queries[index].tail, queries[index].slot),
        )
        placed = [(pairs[index][1], queries[index].position) for index in order]
        ordered = [queries[index] for index in order]
        stepping = Stepping(self._network.config, ordered, self._tails)
        logits = self._network.logits(self._network.hidden(placed, stepping))
        return logits[torch.tensor(order).argsort()]

    @override
    def rewind(self, row: int, length: int) -> None:
        if length == 0:
            self._free(row)
            return
        held = self._rows[row]
        check_rewind(row, held.length, length)
        before = held.length - held.tail
        held.tail = max(0, length - before)
        if length < before:
            prompt = held.prefix.held[: held.count]
            held.count = bisect_left(prompt, length, key=lambda placed: placed[1])
        held.length = length
        if held.prompt is not None and length < len(held.prompt.tokens):
            held.prompt = None

    def _holding(self, number: int, prompt: Prompt) -> _Row:
        """Make row ``number`` hold as much of ``prompt`` as any row does, and nothing else.

        If that is all of it, the row has its logits too.
        """
        for row in self._rows.values():
            if row.prompt == prompt:
                twin = replace(row, length=len(prompt.tokens), slot=_NO_SLOT, tail=0)
                twin.prefix.users += 1
                self._free(number)
                self._rows[number] = twin
                return twin
        held = self._rows[number] = _Row(self._most_of(number, prompt))
        held.count = len(held.prefix.held)
        return held

    def _most_of(self, number: int, prompt: Prompt) -> Prefix:
        """The longest beginning of ``prompt`` that is held, for the only use of row ``number``."""
        found = [
            (row.prefix.common(prompt.visible), held == number, row.prefix)
            for held, row in self._rows.items()
        ]
        count, _, source = max(found, key=lambda entry: entry[:2], default=(0, True, None))
        # the last token is always read: its logits are wanted
        count = max(0, min(count, len(prompt.visible) - 1))
        own = self._free(number)
        prefix = own if own is not None and own.users == 0 else Prefix(self._network.config)
        prefix.users = 1
        if prefix is source or source is None:
            prefix.keep(count)
        else:
            prefix.take(source, count)
        return prefix

    def _read(self, row: _Row, prompt: Prompt, check: Callable[[], None] | None) -> Tensor:
        """Read the rest of ``prompt``; returns the logits after it, (V,)."""
        last = torch.empty(0)
        for piece in self._pieces(row, prompt, check):
            last = piece[-1:]
        if not prompt.ends_visible:
            last = self._look_back(row, prompt)
        return self._network.logits(last)[0]

    def _pieces(
        self, row: _Row, prompt: Prompt, check: Callable[[], None] | None
    ) -> Iterator[Tensor]:
        """Read the rest of ``prompt`` piece by piece; yields the hidden states of each, (M, D)."""
        prefix, visible = row.prefix, prompt.visible
        prefix.reserve(len(visible))
        for begin in range(len(prefix.held), len(visible), CHUNK):
            if check is not None:
                check()
            piece = visible[begin : begin + CHUNK]
            reading = Reading(self._network.config, prefix, len(piece))
            hidden = self._network.hidden(piece, reading, prompt=True)
            prefix.held += piece
            row.count = len(prefix.held)
            row.length = piece[-1][1] + 1
            yield hidden

    def _look_back(
        self, row: _Row, prompt: Prompt, watch: Callable[[int, Tensor], None] = lambda *_: None
    ) -> Tensor:
        """The last token of ``prompt``, which ``row`` holds, once more: (1, D)."""
        last = (prompt.tokens[-1], len(prompt.tokens) - 1)
        looking = LookingBack(self._network.config, row.prefix, row.count, watch)
        return self._network.hidden([last], looking)

    def _next(self, row: _Row) -> Query:
        """Let ``row`` have one token more: where it goes."""
        if row.slot == _NO_SLOT:
            row.slot = self._tails.lend()
        row.tail += 1
        row.length += 1
        self._tails.reserve(row.tail)
        return Query(row.prefix, row.count, row.slot, row.tail, row.length - 1)

    def _twin(self, row: _Row) -> _Row:
        """A copy that shares the prompt."""
        twin = replace(row, slot=_NO_SLOT)
        twin.prefix.users += 1
        if twin.tail:
            twin.slot = self._tails.lend()
            self._tails.copy(row.slot, twin.slot, twin.tail)
        return twin

    def _free(self, number: int) -> Prefix | None:
        """Forget a row, if it is there; what it had as a prompt."""
        row = self._rows.pop(number, None)
        if row is None:
            return None
        row.prefix.users -= 1
        if row.slot != _NO_SLOT:
            self._tails.give_back(row.slot)
        return row.prefix

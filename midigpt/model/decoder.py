"""Decoders: the network as a generation uses it, a few rows of tokens that grow and branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from typing_extensions import override

from midigpt.model.gpt2 import visible_keys
from midigpt.model.pilot import Walked
from midigpt.model.row import CHUNK, Prompt, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from midigpt.model.gpt2 import GPT2LMHeadModel
    from midigpt.model.packing import Precision
    from midigpt.model.pilot import Course
    from midigpt.model.row import Placed


class Decoder(Protocol):
    """Rows of tokens, each with the keys and values that the network computed for it.

    Rows are numbered by the caller and come into being with their first prefill or fork. They may
    differ in length freely, and a row's logits do not depend on the other rows, bit for bit.

    Attributes:
        vocab_size: number of tokens, V.
        context: number of positions.
        precision: how the weights are held.
        prompt_tokens: visible tokens of all prompts so far.
        reused_tokens: those of them that were not computed again.
        lookahead: how many more tokens of a row a step takes at little cost beyond its first.
        stride: how many steps a row may go by itself; 0 where it has to be told every token.
        threads: how many threads it should compute with at most; 0 for as many as there are.
    """

    vocab_size: int
    context: int
    precision: Precision
    prompt_tokens: int
    reused_tokens: int
    lookahead: int = 0
    stride: int = 0
    threads: int = 0

    def prefill(
        self,
        row: int,
        tokens: Sequence[int],
        hidden: Sequence[tuple[int, int]] = (),
        check: Callable[[], None] | None = None,
    ) -> Tensor:
        """Make ``row`` hold a prompt, computing only what it does not hold already.

        Args:
            row: any number; its former content is replaced.
            tokens: the prompt, at positions 0, 1, ...
            hidden: spans ``[start, end)`` of positions that no token may look at. The other tokens
                keep their positions, and the next token's position is ``len(tokens)``.
            check: called before each piece of work; may raise, which leaves the row usable.

        Returns:
            Logits after the last token, hidden or not: (V,), float32, on the CPU.

        Raises:
            ValueError: no tokens.
            IndexError: a token outside the vocabulary, or more tokens than the context holds.
        """

    def attention(self, tokens: Sequence[int], hidden: Sequence[tuple[int, int]] = ()) -> Tensor:
        """How much a prompt's last token attends to each of its tokens.

        Touches no row, so that it may run while another thread generates. Arguments and errors are
        those of :meth:`prefill`.

        Returns:
            (len(tokens),), float32, on the CPU: attention averaged over heads and summed over the
            upper half of the layers; zero for hidden tokens.
        """

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """What follows each of these tokens, at positions 0, 1, ...; in one pass, and in no row.

        Returns:
            (len(tokens), V), float32, on the CPU.

        Raises:
            ValueError: no tokens.
            IndexError: a token outside the vocabulary, or more tokens than the context holds.
        """

    def fork(self, source: int, rows: Sequence[int]) -> None:
        """Make ``rows`` copies of the row ``source``.

        Raises:
            KeyError: there is no row ``source``.
        """

    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Append one token to each of ``rows``; all are checked before any is changed.

        A row may come several times: its tokens follow one another, with the same numbers as if
        they came one step after the other.

        Returns:
            Logits after the new tokens: (len(rows), V), float32, on the CPU.

        Raises:
            KeyError: there is no such row.
            IndexError: a token outside the vocabulary, or a row that fills the context.
        """

    def walk(
        self,
        rows: Sequence[int],
        tokens: Sequence[int],
        courses: Sequence[Course],  # noqa: ARG002 - for those who can go on by themselves
    ) -> list[Walked]:
        """Append one token to each of ``rows``, all different, and let each draw what follows.

        The logits are those of :meth:`step`. A row ends with the last of its guesses; it may have
        fewer than its course has numbers for.

        Raises:
            KeyError: there is no such row.
            IndexError: a token outside the vocabulary, or a row that fills the context.
        """
        return [Walked(line[None], []) for line in self.step(rows, tokens)]

    def rewind(self, row: int, length: int) -> None:
        """Forget a row's tokens from position ``length`` on; 0 frees the row, if there is one.

        Raises:
            KeyError: there is no such row, and ``length`` is not 0.
            ValueError: the row is shorter than that.
        """


def check_prompt(tokens: Sequence[int], vocab_size: int, context: int) -> None:
    """Refuse a prompt that is empty, too long or no sequence of tokens, as decoders promise to."""
    if not tokens:
        raise ValueError("a prompt needs at least one token")
    if len(tokens) > context:
        raise IndexError(f"{len(tokens)} tokens do not fit the context of {context}")
    check_tokens(tokens, vocab_size)


def check_tokens(tokens: Sequence[int], vocab_size: int) -> None:
    """Refuse tokens outside the vocabulary."""
    for token in (min(tokens, default=0), max(tokens, default=0)):
        if not 0 <= token < vocab_size:
            raise IndexError(f"token {token} lies outside the vocabulary of {vocab_size}")


def check_room(lengths: Sequence[int], rows: Sequence[int], context: int) -> None:
    """Refuse a step for which one of the ``rows``, of these lengths, has no room."""
    if any(length + rows.count(row) > context for length, row in zip(lengths, rows, strict=True)):
        raise IndexError(f"a row already fills the context of {context} positions")


def check_rewind(row: int, held: int, length: int) -> None:
    """Refuse to rewind a row that holds so many tokens to where it has not been."""
    if not 0 <= length <= held:
        raise ValueError(f"row {row} holds {held} tokens, cannot rewind to {length}")


class PlainDecoder(Decoder):
    """Runs the readable network on any device, one row after another.

    One at a time, because a matrix product over several rows rounds differently from the product
    over one.
    """

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self.vocab_size = model.config.vocab_size
        self.context = model.config.n_positions
        self.precision: Precision = "fp32"
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self._model = model
        self._device = model.lm_head.weight.device
        self._rows: dict[int, Row] = {}

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
        held = self._rows.setdefault(row, Row(self._model))
        self.prompt_tokens += len(prompt.visible)
        if held.prompt == prompt:
            self.reused_tokens += len(prompt.visible)
            held.rewind(len(tokens))
            return held.logits.clone()
        start = held.usable(prompt.visible)
        held.keep(held, start)
        self.reused_tokens += start
        logits = torch.empty(0)
        for begin in range(start, len(prompt.visible), CHUNK):
            if check is not None:
                check()
            logits = self._append(held, prompt.visible[begin : begin + CHUNK])
        if not prompt.ends_visible:
            logits, _ = self._query(held, prompt)
        held.finish(prompt, logits)
        return logits.clone()

    @override
    @torch.inference_mode()
    def attention(self, tokens: Sequence[int], hidden: Sequence[tuple[int, int]] = ()) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        prompt, row = Prompt.of(tokens, hidden), Row(self._model)
        for begin in range(0, len(prompt.visible), CHUNK):
            self._append(row, prompt.visible[begin : begin + CHUNK])
        _, weights = self._query(row, prompt)
        upper = weights[self._model.config.n_layer // 2 :]
        by_key = torch.stack(upper).mean(dim=2).sum(dim=(0, 1, 2)).float().cpu()  # (N,)
        positions = [position for _, position in prompt.visible]
        scores = torch.zeros(len(tokens))
        scores[positions] = by_key[: len(positions)]
        return scores

    @override
    @torch.inference_mode()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        logits, _ = self._model(torch.tensor([tokens], device=self._device))  # (1, T, V)
        after_each: Tensor = logits[0].float().cpu()
        return after_each

    @override
    @torch.inference_mode()
    def fork(self, source: int, rows: Sequence[int]) -> None:
        held = self._rows[source]
        self._rows.update({row: held.copy() for row in rows if row != source})

    @override
    @torch.inference_mode()
    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        pairs = list(zip((self._rows[row] for row in rows), tokens, strict=True))
        check_tokens(tokens, self.vocab_size)
        check_room([row.length for row, _ in pairs], rows, self.context)
        return torch.stack([self._append(row, [(token, row.length)]) for row, token in pairs])

    @override
    def rewind(self, row: int, length: int) -> None:
        if length == 0:
            self._rows.pop(row, None)
            return
        held = self._rows[row]
        check_rewind(row, held.length, length)
        held.rewind(length)

    def _append(self, row: Row, tokens: list[Placed]) -> Tensor:
        """Add ``tokens`` to ``row``; returns the logits after the last of them, (V,)."""
        total = len(row.held) + len(tokens)
        row.reserve(total)
        ids, positions = torch.tensor(tokens, device=self._device).T[:, None]  # (1, T) each
        visible = visible_keys(len(tokens), total, None, self._device)
        x = self._model.transformer(ids, positions, row, visible)  # (1, T, D)
        row.extend(tokens)
        logits: Tensor = self._model.lm_head(x[:, -1])  # (1, V)
        return logits[0].float().cpu()

    def _query(self, row: Row, prompt: Prompt) -> tuple[Tensor, list[Tensor]]:
        """Look back from the last token of ``prompt``, which ``row`` holds, and leave no trace.

        Returns:
            The logits, (V,), and per layer the attention weights, (1, H, 1, N).
        """
        earlier = len(prompt.visible) - prompt.ends_visible
        key_mask = torch.ones(earlier + 1, dtype=torch.bool, device=self._device)
        key_mask[-1] = prompt.ends_visible
        logits, _, seen = self._model.forward_with_hooks(
            torch.tensor([prompt.tokens[-1:]], device=self._device),
            row.cache(earlier),
            {"attn": lambda _layer, weights: weights},
            key_mask,
            torch.tensor([len(prompt.tokens) - 1], device=self._device),
        )
        return logits[0, -1].float().cpu(), seen["attn"]

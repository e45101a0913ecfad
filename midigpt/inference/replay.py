"""How likely a network finds given tokens: scores of what was, or could have been, sampled."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from midigpt.inference.levels import cut
from midigpt.inference.prompt import build
from midigpt.inference.rulebook import Rulebook
from midigpt.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from midigpt.inference.language import Language
    from midigpt.inference.plan import Step
    from midigpt.inference.rules import Mask, Rules
    from midigpt.inference.task import Task
    from midigpt.model.decoder import Decoder


def score_from_tokens(
    tokens: Sequence[int],
    step: Step | None,
    *,
    task: Task,
    score: Score,
    language: Language,
    decoder: Decoder,
    velocity: bool = True,
) -> dict[str, Any]:
    """The log-probability of each token, given the prompt of a step and the tokens before it.

    The prompt is that of the score as it was sent, without measured levels, and nothing in it is
    hidden. Of the rules of a generation only the grammar and the limits on the number of notes
    apply; a token that they forbid has the log-probability minus infinity.

    Args:
        tokens: what follows the prompt.
        step: a planned step of the task; None scores nothing.
        task: what the request asks for.
        score: the score of the request.
        language: what the checkpoint's encoder defines.
        decoder: runs its network.
        velocity: whether the prompt tells velocities.

    Returns:
        ``log_probs``, natural logarithms, one per token; ``total_logp``, their sum; ``n_tokens``;
        and ``per_type``, by token type, objects of ``mean``, ``sum`` and ``n``.

    Raises:
        EncodingError: a token outside the vocabulary.
    """
    if step is None or not tokens:
        return _report([], [])
    plain = replace(task, velocity=velocity, microtiming=True, genre=-1)
    sent = cut(Score([score.tracks[part.id] for part in task.parts], score.resolution), step.window)
    tokenizer = language.tokenizer
    types = [tokenizer.vocabulary.decode(token)[0] for token in tokens]
    prompt = build(plain, step, tokenizer.to_grid(sent), tokenizer)
    legal = _legal(
        Rulebook(plain, language, lambda _: None).plain_rules(step, prompt),
        tokens,
        decoder.vocab_size,
    )
    logits = torch.cat([*_logits([*prompt.tokens, *tokens], len(prompt.tokens), decoder)])
    return _report(_log_probs(logits, legal, tokens), types)


def _legal(rules: Rules, tokens: Sequence[int], vocab_size: int) -> Mask:
    """What the rules allow in the place of each token, (len(tokens), V)."""
    legal = np.empty((len(tokens), vocab_size), dtype=np.bool_)
    for token, mask in zip(tokens, legal, strict=True):
        rules.mask(mask)
        rules.advance(token)
    return legal


def _logits(stream: Sequence[int], first: int, decoder: Decoder) -> Iterator[Tensor]:
    """The logits for each token of a stream from ``first`` on, (some of them, V) at a time.

    A token sees all before it up to the context's length; past that, the context moves on in
    strides of half its length, so that a token sees at least half of one.
    """
    context = decoder.context
    stride = context // 2

    def start(place: int) -> int:
        return max(0, -(-(place - context + 1) // stride) * stride)

    for begin, places in groupby(range(first, len(stream)), key=start):
        here = list(places)
        logits = decoder.logits(stream[begin : here[-1]])
        yield logits[here[0] - 1 - begin :]


def _log_probs(logits: Tensor, legal: Mask, tokens: Sequence[int]) -> list[float]:
    masked = logits.masked_fill(~torch.from_numpy(legal), -torch.inf)
    chosen = masked.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    # where nothing is legal there is no distribution; a forbidden token stays at minus infinity
    given = torch.where(chosen.isinf(), chosen, chosen - masked.logsumexp(dim=1))
    found: list[float] = given.tolist()
    return found


def _report(log_probs: Sequence[float], types: Sequence[str]) -> dict[str, Any]:
    by_type: dict[str, list[float]] = defaultdict(list)
    for type_, log_prob in zip(types, log_probs, strict=True):
        by_type[type_].append(log_prob)
    return {
        "log_probs": list(log_probs),
        "total_logp": sum(log_probs, 0.0),
        "n_tokens": len(log_probs),
        "per_type": {
            type_: {"mean": sum(found) / len(found), "sum": sum(found), "n": len(found)}
            for type_, found in by_type.items()
        },
    }

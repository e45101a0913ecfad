"""How the starter learns: its recipe, its first weights, its loss and its updates."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from corpus import CONTEXT
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone knows it by

from midigpt.model import GPT2Config, GPT2LMHeadModel
from midigpt.model.gpt2 import visible_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from corpus import Corpus

PROMPT_WEIGHT = 0.5
"""What a token of a prompt counts for, where one of a continuation counts for 1.

Prompts are music too and most of the tokens: they teach the language. What is asked of the model
are the continuations.
"""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        steps: updates of the weights.
        batch: tokens of an update, padding counted in.
        rate: highest learning rate.
        warmup: updates over which it grows.
        decay: weight decay.
        width: ``n_embd`` of the network.
        layers: its ``n_layer``.
        heads: its ``n_head``.
        seed: of weights and batches.
        minutes: where the updates would take longer than this, there are fewer; 0: no limit.
        saved_every: updates between two saved states and held-out losses.
    """

    steps: int = 2400
    batch: int = 12288
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.05
    width: int = 256
    layers: int = 6
    heads: int = 4
    seed: int = 5
    minutes: float = 0.0
    saved_every: int = 100

    def rate_at(self, step: int, progress: float) -> float:
        """The learning rate: a warmup, under half a cosine down to a fiftieth.

        Args:
            step: updates made.
            progress: the share of the training that is done.
        """
        grown = min(1.0, (step + 1) / self.warmup)
        return self.rate * grown * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))


class Store:
    """A key-value store without a past: training sees whole lessons."""

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - the protocol
        """The new pair."""
        return keys, values


def new_model(recipe: Recipe, vocabulary: int) -> GPT2LMHeadModel:
    """A network to train: GPT-2's first weights, and positions that begin as waves."""
    torch.manual_seed(recipe.seed)
    config = GPT2Config(vocabulary, CONTEXT, recipe.width, recipe.layers, recipe.heads)
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("c_proj.weight"):
                parameter.normal_(std=0.02 / math.sqrt(2 * recipe.layers))
            elif "wte" in name or "lm_head" in name:
                parameter.normal_(std=0.02)
        model.transformer.wpe.weight.copy_(_waves(CONTEXT, recipe.width))
    return model


def _waves(count: int, width: int) -> Tensor:
    """Sines and cosines, so that neighbouring positions begin alike; (count, width)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(count)[:, None] * frequency
    return 0.02 * torch.cat([angle.sin(), angle.cos()], dim=1)


def losses(model: GPT2LMHeadModel, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of every token after the first, in nats.

    Args:
        model: the network.
        batch: tokens, positions and kinds as :meth:`corpus.Corpus.padded` gives them.

    Returns:
        The losses and the kinds of these tokens, (lessons, length - 1) each.
    """
    tokens, places, kinds = batch
    seen = tokens.shape[1] - 1
    visible = visible_keys(seen, seen, None, tokens.device)
    bf16 = torch.autocast(tokens.device.type, torch.bfloat16)
    with bf16 if tokens.device.type != "mps" else nullcontext():
        hidden = model.transformer(tokens[:, :-1], places[:, :-1], Store(), visible)
        logits = model.lm_head(hidden)
    flat = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    return flat.view(tokens.shape[0], seen), kinds[:, 1:]


def weighed(loss: Tensor, kinds: Tensor) -> Tensor:
    """The mean loss, prompts counting less than continuations and padding nothing."""
    weight = torch.tensor([0.0, PROMPT_WEIGHT, 1.0], device=loss.device)[kinds]
    return (loss * weight).sum() / weight.sum()


def held_out_loss(model: GPT2LMHeadModel, corpus: Corpus, lessons: int = 32) -> dict[str, float]:
    """Mean losses of prompts and continuations on pieces that are not trained on."""
    device = model.lm_head.weight.device
    total = torch.zeros(3, dtype=torch.float64)
    count = torch.zeros(3, dtype=torch.float64)
    numbers = sorted(range(min(lessons, len(corpus))), key=lambda n: int(corpus.lengths[n]))
    for first in range(0, len(numbers), 8):
        # with gradients, though they are not needed: without, all would be compiled again
        loss, kinds = losses(model, tensors(corpus, numbers[first : first + 8], device))
        values = loss.detach().cpu().double().flatten()
        total.index_add_(0, kinds.cpu().flatten(), values)
        count.index_add_(0, kinds.cpu().flatten(), torch.ones_like(values))
    _, prompt, continuation = (total / count.clamp(min=1)).tolist()
    return {"held-out prompt": prompt, "held-out continuation": continuation}


def optimizers(model: GPT2LMHeadModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for all else."""
    matrices = [p for p in model.transformer.h.parameters() if p.ndim == 2]
    inner = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inner]
    return [
        torch.optim.Muon(
            matrices, recipe.rate, weight_decay=recipe.decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, recipe.rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def update(
    model: GPT2LMHeadModel, updaters: Sequence[torch.optim.Optimizer], batch: Sequence[Tensor]
) -> float:
    """One step; returns the loss before it."""
    loss = weighed(*losses(model, batch))
    for updater in updaters:
        updater.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for updater in updaters:
        updater.step()
    return loss.item()


def tensors(corpus: Corpus, numbers: Sequence[int], device: torch.device) -> list[Tensor]:
    """A batch: tokens, positions and kinds, (lessons, length) each."""
    return [torch.from_numpy(part).to(device) for part in corpus.padded(numbers)]

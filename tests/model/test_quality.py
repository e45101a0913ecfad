"""What rounding the weights costs, at full size.

The weights are random, of the sizes that training leaves, but for the head: that is fitted to a
song, so that the network is as sure of the next token as a trained one is, and as unsure. How often
rounding changes the likeliest token depends on nothing more than on that.
"""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from midigpt import Score
from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, PlainDecoder
from midigpt.model.cpu import PackedDecoder
from midigpt.model.packed import PackedNetwork

ROOT = Path(__file__).parents[2]
SIZES = {"wte": 0.15, "wpe": 0.05, "c_proj": 0.01, "bias": 0.05}
"""Standard deviations of parameters with these names, 0.02 elsewhere."""


@pytest.fixture(scope="module")
def prompts():
    """The two halves of a song, five tracks of eight bars each."""
    encoder = json.loads((ROOT / "models" / "starter" / "encoder.json").read_text())
    tokenizer = Language.of(encoder).tokenizer
    song = Score.from_midi(ROOT / "examples" / "song.mid")
    halves = [
        Score(
            [type(track)(track.bars[first : first + 8], track.instrument) for track in song.tracks],
            song.resolution,
            song.tempo,
        )
        for first in (0, 8)
    ]
    return [list(tokenizer.encode(half).tokens) for half in halves]


def hidden_states(model, prompt):
    """What the head sees, (len(prompt), D)."""
    last = model.config.n_layer - 1
    hooks = {"hidden": lambda layer, x: x if layer == last else None}
    _, _, seen = model.forward_with_hooks(torch.tensor([prompt]), None, hooks)
    return model.transformer.ln_f(seen["hidden"][last])[0]


@pytest.fixture(scope="module")
def model(prompts):
    generator = torch.Generator().manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(647, 2048, 768, 12, 12)).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        sizes = [size for part, size in SIZES.items() if part in name]
        parameter.normal_(std=sizes[-1] if sizes else 0.02, generator=generator)
        if "ln_" in name and name.endswith("weight"):
            parameter.add_(1)
    states = torch.cat([hidden_states(model, prompt)[:-1] for prompt in prompts])
    following = torch.cat([torch.eye(647)[prompt[1:]] for prompt in prompts])
    ridge = states.T @ states + 30 * torch.eye(768)
    model.lm_head.weight.copy_(20 * torch.linalg.solve(ridge, states.T @ following).T)
    return model


@pytest.fixture(scope="module")
def exact(prompts, model):
    plain = PlainDecoder(model)
    return torch.cat([plain.logits(prompt) for prompt in prompts]).double().log_softmax(dim=-1)


@pytest.fixture
def compare(prompts, model, exact):
    """How often the likeliest token is the same, and the mean divergence per token."""

    def compare(precision, run=PackedDecoder.logits):
        decoder = PackedDecoder(PackedNetwork(deepcopy(model), precision))
        logits = torch.cat([run(decoder, prompt) for prompt in prompts])
        rounded = logits.double().log_softmax(dim=-1)
        same = (rounded.argmax(dim=-1) == exact.argmax(dim=-1)).double().mean().item()
        divergence = (exact.exp() * (exact - rounded)).sum(dim=-1).mean().item()
        figures = f"top-1 {same:.3%}, KL {divergence:.1e} over {len(exact)} tokens"
        print(f"{precision}, {run.__name__}: {figures}")  # noqa: T201 - with pytest -s
        return same, divergence

    return compare


def steps(decoder, prompt):
    """What follows each token of ``prompt``, of which all but the first come in steps, (N, V)."""
    found = [decoder.prefill(0, prompt[:1])[None]]
    for first in range(1, len(prompt), 16):
        tokens = prompt[first : first + 16]
        found.append(decoder.step([0] * len(tokens), tokens))
    return torch.cat(found)


def test_the_network_is_as_sure_as_a_trained_one(exact):
    assert 0.55 < exact.exp().amax(dim=-1).mean() < 0.75


def test_fp32_changes_nothing(compare):
    same, divergence = compare("fp32")
    assert same == 1
    assert divergence < 1e-9


@pytest.mark.parametrize("run", [PackedDecoder.logits, steps])
def test_fp16_is_as_good(compare, run):
    """In prompts and in steps, which may be held differently."""
    same, divergence = compare("fp16", run)
    assert same >= 0.999
    assert divergence < 1e-4


def test_int8_is_not(compare):
    """Why one has to ask for it."""
    same, divergence = compare("int8")
    assert 0.95 < same < 0.999
    assert 1e-4 < divergence < 1e-2

"""Writes ``untrained.safetensors``: a small network with random weights.

It has learnt nothing. It lets a fresh machine without network answer requests, with notes that
obey the encoder's grammar and bars that end before long, until there is a trained model to ship.

Run it from the repository's root: ``python models/starter/make_untrained.py``.
"""

import json
from math import log
from pathlib import Path

import torch

from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint
from midigpt.tokens import EncoderConfig, Vocabulary

HERE = Path(__file__).parent
SEED = 2025
NOISE = 0.3  # standard deviation of the logits around the odds below
ODDS = {  # of a token type where the grammar allows it, shared by its tokens; 1 where not listed
    "TimeAbsolutePos": 8,
    "NoteOnset": 2,
    "BarEnd": 0.7,
    "FillInEnd": 0.7,
    "FillInPlaceholder": 1e-6,
    "NoteDensity": 1e-3,
    "MinPolyphony": 1e-3,
    "MaxPolyphony": 1e-3,
    "MinNoteDuration": 1e-3,
    "MaxNoteDuration": 1e-3,
}


def make(path: Path) -> None:
    """Write the checkpoint to ``path``; the tensors are the same every time."""
    encoder_config = json.loads((HERE / "encoder.json").read_text())
    vocabulary = Vocabulary.from_config(EncoderConfig.parse(encoder_config))
    config = GPT2Config(
        vocab_size=len(vocabulary), n_positions=2048, n_embd=32, n_layer=2, n_head=4
    )
    model = GPT2LMHeadModel(config).requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(SEED)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=config.n_embd**-0.5, generator=generator)
    model.lm_head.weight *= NOISE
    # The last channel before the head is always 1, so that the head's weights for it are a bias.
    model.transformer.ln_f.weight[-1] = 0
    model.transformer.ln_f.bias[-1] = 1
    for domain in vocabulary.domains:
        odds = ODDS.get(domain.type, 1) / domain.size
        model.lm_head.weight[vocabulary.span(domain.type), -1] = log(odds)
    save_checkpoint(path, model, encoder_config, description="untrained: random weights")


if __name__ == "__main__":
    make(HERE / "untrained.safetensors")

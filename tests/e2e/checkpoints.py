"""Checkpoints of networks that have learned nothing."""

import json
from pathlib import Path

import torch

from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel, save_checkpoint

YELLOW = json.loads((Path(__file__).parents[2] / "models/starter/encoder.json").read_text())
"""The encoder of the published yellow checkpoints."""

SMALL = {
    "resolution": 12,
    "decode_resolution": 1920,
    "supports_infill": True,
    "num_bars_map": [4, 8],
    "time_signatures": ["4/4", "3/4"],
    "attribute_controls": [{"name": "note_density_quantile"}],
}
"""An encoder with little in it."""


def untrained(path, encoder, **size):
    """Write a small network of random weights; its path."""
    vocabulary = Language.of(encoder).tokenizer.vocabulary
    size = {"n_positions": 2048, "n_embd": 64, "n_layer": 2, "n_head": 4, **size}
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(vocabulary), **size))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    save_checkpoint(path, model, encoder)
    return path

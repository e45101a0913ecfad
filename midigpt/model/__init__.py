"""The network: checkpoint files, the GPT-2 in them, and the decoders that run it.

Nothing here knows what a token means.
"""

from midigpt.model.checkpoint import (
    CheckpointBundle,
    check_vocabulary,
    load_checkpoint,
    save_checkpoint,
)
from midigpt.model.decoder import Decoder, PlainDecoder
from midigpt.model.device import resolve_device
from midigpt.model.gpt2 import GPT2Config, GPT2LMHeadModel
from midigpt.model.packing import PRECISIONS, Precision
from midigpt.model.runtime import make_decoders

__all__ = [
    "PRECISIONS",
    "CheckpointBundle",
    "Decoder",
    "GPT2Config",
    "GPT2LMHeadModel",
    "PlainDecoder",
    "Precision",
    "check_vocabulary",
    "load_checkpoint",
    "make_decoders",
    "resolve_device",
    "save_checkpoint",
]

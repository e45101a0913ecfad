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

__all__ = [
    "CheckpointBundle",
    "Decoder",
    "GPT2Config",
    "GPT2LMHeadModel",
    "PlainDecoder",
    "check_vocabulary",
    "load_checkpoint",
    "resolve_device",
    "save_checkpoint",
]
